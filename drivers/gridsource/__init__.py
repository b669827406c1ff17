"""Grid simulators: the sources of voltage and frequency of a test bench."""

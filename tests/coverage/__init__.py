"""Line coverage of the compiled step: `python -m tests.coverage`."""

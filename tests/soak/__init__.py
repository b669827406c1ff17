"""The core process for a long time, watched from outside: `python -m tests.soak --minutes 60`."""

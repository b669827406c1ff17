"""Fuzzing of the frame parsers: `python -m tests.fuzz`. The compiled product code, under libFuzzer with sanitizers."""

"""What must be quick, measured as ratios: `python -m tests.performance`. One measurement is one short module here."""

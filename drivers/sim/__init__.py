"""A simulated grid, meter and inverter with a car: no hardware, no power. Start at server.py."""

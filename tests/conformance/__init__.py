"""The product against its own procedures, and the procedures against units that are wrong."""

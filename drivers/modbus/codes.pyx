"""Fault and Due as Python enums; see codes.pxd."""

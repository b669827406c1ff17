"""What every driver shares: the error tree.

Errors   each class says who must act. Raise with the value and what is allowed; catch only where something is decided.
"""


class DriverError(Exception):
    """Base of everything a driver raises."""


class MapError(DriverError):
    """A register map file is wrong: the map's author must act. The text starts with file:line."""


class BusError(DriverError):
    """No answer, or a garbled one: look at cabling, address, unit id and port."""


class DiscoveryError(DriverError):
    """The device answers but is not what the site file says it is."""


class OwnControlError(DiscoveryError):
    """The right device, but a control of its own acts against ours: the owner ends that, or leaves the task to it."""

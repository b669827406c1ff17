# The body of a bus thread has no Python face: see bus.pyi.

# What a bus thread does has no Python face: see bus.pyi.

"""Grid scenarios, package data: read by drivers.sim.scenario.load_builtin."""

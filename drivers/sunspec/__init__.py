"""SunSpec inverters: find the models a device has, compile them into a Plan, bring curve sets into force.

chain    walk the device's list of models; pure, given a function that reads words
plan     models and their words -> Plan; pure
points   a model with all its points, models 701 to 715 (models)
adopt    a set of points through a free place into force
wire     a small blocking Modbus TCP read, discover() and discover_in_child()
"""

from drivers.sunspec.chain import Chain, Model, fetch, walk
from drivers.sunspec.plan import inverter_plan
from drivers.sunspec.wire import discover, discover_in_child

__all__ = ["Chain", "Model", "discover", "discover_in_child", "fetch", "inverter_plan", "walk"]

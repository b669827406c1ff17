"""The whole step a second time, in plain Python, written from the documents: the compiled core must give equal bits.

Shares no module with the core. Settings come as {group: {name: value}} (or as any dataclass of dataclasses), inputs as
objects with the fields of the records, answers go out as a Record with the fields of a StepRecord.

Source   IEEE Std 1547-2018 (clauses and tables named where used; every constant here was typed from them); what the
         standard leaves to the product (ramps, freshness, arbiter, smallest power) from the product's design.
Numbers  + - x / and square root only, in one fixed order, so that equality can mean equal bits.

words        names of bits, states and modes
numbers      clipping, lag, curve, span
fresh        stage 1: ages and last good values
abnormal     stage 2: trip, ride-through, enter service
power        stage 3: wishes, site, battery, active power limit, volt-watt
frequency    stage 4: droop, fast response, inertia
reactive     stage 5: the reactive modes and their cross-over
limits       stage 6: capability, circle, smallest power, reversal dwell
step         the list of stages, in order: class Reference
"""

from tests.cython_core.reference.step import Record, Reference

__all__ = ["Record", "Reference"]

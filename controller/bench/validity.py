"""Was the rig in order? Whatever it was not makes the case invalid, never pass or fail: [] or one sentence a trouble.

Known    the bench's own word (`rig`, no `done`, a step that did not end), settings read back otherwise than written,
         a ramp that was a jump, a set-up that ended before the unit gave power, a source that is not where it was told
         to be, a frozen meter, missing readings.
A meter that is only slow shows in the criteria it is too slow for (seen.UnseenError), each its own check.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from controller.bench.accuracy import STANDARD
from controller.bench.metercheck import frozen_meter, missing_readings, source_off
from controller.bench.plan import Case, Eut, Value
from controller.bench.ramp import ramp_s
from controller.bench.record import CaseRecord
from controller.bench.seen import LEAST_READINGS, Seen

SAME_SHARE = 1e-4  # of a setting: what a register's resolution may take
RAMP_SHARE = 0.8  # of the time a ramp takes: a shorter one was a jump
NOTHING_TO_SWITCH_OFF = ("off", "none")


def rig_trouble(case: Case, eut: Eut, record: CaseRecord, seen: Mapping[str, Seen]) -> tuple[str, ...]:
    """Every trouble of the rig in this case; causes before what they bring about."""
    return tuple(
        dict.fromkeys(
            [
                *told_by_bench(case, record, seen),
                *settings_differ(record),
                *jumped(case, seen),
                *out_of_service(case, eut, seen),
                *frozen_meter(eut, record),
                *missing_readings(record, seen),
                *source_off(eut, seen),
            ]
        )
    )


def told_by_bench(case: Case, record: CaseRecord, seen: Mapping[str, Seen]) -> Iterator[str]:
    kinds = {e.kind for e in record.events}
    for event in record.events:
        if event.kind == "rig":
            yield f"the rig: {event.data.get('text', 'in trouble')}"
    if "done" not in kinds:
        yield "the case was not run to its end"
    for step in case.steps:
        if not step.skipped and step.name not in seen:
            yield f"step {step.name} was not run to its end"
    if (record.samples["t_ns"][1:] < record.samples["t_ns"][:-1]).any():
        yield "the meter's time ran backwards"


def settings_differ(record: CaseRecord) -> Iterator[str]:
    for event in record.events:
        if event.kind != "settings":
            continue
        read = event.data["read"]
        for name, wanted in event.data["wanted"].items():
            if name not in read:
                if wanted is not False and wanted not in NOTHING_TO_SWITCH_OFF:  # 0.0 == False, and is a number
                    yield f"setting {name}: {wanted} was written, nothing was read back"
            elif not same(wanted, read[name]):
                yield f"setting {name}: {wanted} was written, {read[name]} was read back"


def same(wanted: Value, read: Value) -> bool:
    """Numbers as close as a register's resolution; words and switches exactly."""
    if isinstance(wanted, (bool, str)) or isinstance(read, (bool, str)):
        return type(wanted) is type(read) and wanted == read
    both_nan = math.isnan(wanted) and math.isnan(read)  # "none", as in "no limit"
    return both_nan or math.isclose(wanted, read, rel_tol=SAME_SHARE, abs_tol=1e-9)


def jumped(case: Case, seen: Mapping[str, Seen]) -> Iterator[str]:
    """A frequency that jumps trips real units, and T_r is measured from a ramp's end."""
    point = case.start.point
    for step in case.steps:
        if step.name not in seen:
            continue
        least_s = RAMP_SHARE * ramp_s(point, step.point, step)
        took_s = (seen[step.name].arrived_ns - seen[step.name].begin_ns) / 1e9
        if took_s < least_s:
            yield f"step {step.name}: the source jumped ({took_s:.3f} s) instead of ramping (at least {least_s:.3f} s)"
        point = step.point


def out_of_service(case: Case, eut: Eut, seen: Mapping[str, Seen]) -> Iterator[str]:
    """The set-up is over when the unit is at its power; one that still waits for its enter service is not tested."""
    start, first = case.start, next((step.name for step in case.steps if not step.skipped), "")
    asked_w, dead_w = abs(start.demand_w or 0.0), STANDARD.margin(eut, "p_w")
    if start.permit is False or start.ap_limit_pu == 0.0 or asked_w <= 2.0 * dead_w or first not in seen:
        return
    given_w = np.abs(seen[first].before["p_w"][-LEAST_READINGS:])
    if len(given_w) and (given_w <= dead_w).all():
        told = f"the unit gave {given_w[-1]:.0f} W at the end of the set-up, {asked_w:.0f} W were asked"
        yield f"{told}: not yet in service?"

"""Where OpenDER 2.2.0 and we are known to differ on the way from one rest to another, by rule, as rules.py is at rest.

Not compared at all: a change of the reactive mode (4.6.3: OpenDER's cross-over starts at 0, not at the Q there is) and
a change from over- to under-frequency in one step (6.5.2.7: OpenDER latches its output, with droop's own part in it).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from tests.peers.asked import asked, ceiling, charge_pu, demand, droop, kept, limit, outside, q_of, s_pu, table_7
from tests.peers.cases import Case
from tests.peers.rules import STEADY, beside_zero


@dataclass(frozen=True, slots=True)
class Change:
    """A series: at rest with `before` (60 Hz), then `after` with the same wish, then `before` again."""

    before: Case
    after: Case


@dataclass(frozen=True, slots=True)
class SeriesRule:
    name: str
    where: Callable[[Change], bool]
    most: float
    why: str


def at_rest(change: Change) -> bool:
    return any(rule.where(case) for rule in STEADY for case in (change.before, change.after))


def lag_on_the_ceiling(change: Change) -> bool:
    case = change.after
    low = min(ceiling(change.before), ceiling(case))
    asked_most = max(demand(case), demand(case) + droop(case))
    binds = low < min(asked_most, 1.0)
    whole = demand(case) == 1.0 and limit(case) == 1.0 and droop(case) == 0.0 and not outside(case, 1.0)
    return binds and not whole


def droop_at_a_limit(change: Change) -> bool:
    case = change.after
    least = -charge_pu(case.settings.rating)
    target = kept(change.before, asked(change.before)[0]) + droop(case)
    beyond = case.p_w / case.settings.rating.p_rated_w < least
    return droop(case) != 0.0 and (beyond or not least <= target <= 1.0)


def droop_at_the_circle(change: Change) -> bool:
    cases = (change.before, change.after)
    return droop(change.after) != 0.0 and any(outside(case, p) for case in cases for p in asked(case))


def v_ref_at_its_end(change: Change) -> bool:
    vv = change.after.settings.volt_var
    if change.after.settings.reactive.mode != "volt_var" or not vv.v_ref_auto:
        return False
    return any(not vv.v_ref_min_pu <= case.v_pu <= vv.v_ref_max_pu for case in (change.before, change.after))


def raised_on_the_way(change: Change) -> bool:
    reactive = change.after.settings.reactive
    if reactive.beyond_table_7 != "active" or reactive.mode not in ("volt_var", "constant_q"):
        return False
    cases = (change.before, change.after)
    powers = {p for case in cases for p in asked(case)}
    for case in cases:
        q = q_of(case, 0.0)
        if abs(q) > table_7(case, q) and any(math.hypot(p, q) >= s_pu(case.settings, p) for p in powers):
            return True
    return False


def through_zero(change: Change) -> bool:
    powers = asked(change.before) + asked(change.after)
    return beside_zero(change.after.settings, min(powers), max(powers))


SERIES = (
    SeriesRule("at rest", at_rest, 0.25, "a rule of the steady state holds before or after the change"),
    SeriesRule(
        "lag on the ceiling",
        lag_on_the_ceiling,
        0.12,
        "5.4.2: OpenDER's lag is on the ceiling, ours on min(demand, ceiling), so that 90 % of a change are made in"
        " the response time at part load too: equal only down from rated power",
    ),
    SeriesRule(
        "droop at a limit",
        droop_at_a_limit,
        0.12,
        "6.5.2.7: OpenDER's lag is on power, clipped when it is droop's, not when it is a wish; ours on the droop"
        " term alone: it is sooner at a limit and sooner away from it",
    ),
    SeriesRule(
        "droop at the circle",
        droop_at_the_circle,
        0.15,
        "4.7: OpenDER's way back from an event starts towards the demand, ours towards the power before the event",
    ),
    SeriesRule(
        "V_Ref at its end",
        v_ref_at_its_end,
        0.05,
        "5.3.3: OpenDER's filter runs on beyond the range and comes back later, ours stops at its end",
    ),
    SeriesRule(
        "power raised on the way",
        raised_on_the_way,
        0.03,
        "4.7: as at rest, with the P of one rest and the Q of the other",
    ),
    SeriesRule(
        "watt-var through zero", through_zero, 0.06, "5.3.4: between P'1 and P1, as at rest, but on the way from P to P"
    ),
)

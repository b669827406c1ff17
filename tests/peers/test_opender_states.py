"""The operating states of the compiled core against OpenDER's, in time: enter service, trip, momentary cessation.

Both may take a step more or less (OpenDER counts a timer's first step as one already gone), so the other's P and Q may
be LATE steps away in time; then they are within 1 % of S. Restore output: OpenDER's current rises at a rate, ours in a
share of what it was, so they are compared at rated power.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from cython_core.records import State
from tests.need import missing
from tests.peers.opender import INSTALL
from tests.peers.series import Inputs, Parts, Series, apart, ours, theirs
from tests.peers.test_opender_series import KW, WITHIN, quick

LATE = 2
MS = 20  # of a step
FULL = Inputs(p_w=10 * KW)


@pytest.fixture(autouse=True, scope="module")
def _present() -> None:
    if find_spec("opender") is None:
        missing("EPRI's OpenDER", INSTALL)


def steps(seconds: float) -> int:
    return round(seconds * 1000.0 / MS)


OURS = {"owner": "controller"}
ENTER = {"enter_service": {**OURS, "delay_s": 4.0, "ramp_s": 10.0}}
TRIP = {
    **ENTER,
    "voltage_trip": {**OURS, "ov1_s": 1.0, "uv1_s": 2.0, "uv2_s": 0.5},
    "frequency_trip": {**OURS, "of2_s": 1.0, "uf2_s": 0.5},
}
OFF, ON = Inputs(p_w=8 * KW, permit=False), Inputs(p_w=8 * KW)
LOAD_OFF, LOAD_ON = Inputs(p_w=-5 * KW, permit=False), Inputs(p_w=-5 * KW)


def excursion(v_pu: float, f_hz: float, seconds: float) -> Parts:
    """From rated power: so long outside, then 8 s of a good grid."""
    return [(steps(seconds), Inputs(v_pu, f_hz, 10 * KW)), (steps(8.0), FULL)]


# fmt: off
STATES: list[tuple[str, dict[str, Any], Inputs, Parts, list[State]]] = [
    # what, settings, before, then, the states in their order
    ("enter service: delay, ramp, rated", ENTER, ON, [(50, OFF), (steps(16.0), ON)],
     [State.TRIPPED, State.ENTERING, State.IN_SERVICE]),
    ("the same while charging", ENTER, LOAD_ON, [(50, LOAD_OFF), (steps(16.0), LOAD_ON)],
     [State.TRIPPED, State.ENTERING, State.IN_SERVICE]),
    ("an excursion of one step starts the delay anew", ENTER, ON,
     [(50, OFF), (steps(3.0), ON), (1, Inputs(1.06, 60.0, 8 * KW)), (steps(6.0), ON)], [State.TRIPPED, State.ENTERING]),
    ("OV2, 0.16 s", TRIP, FULL, excursion(1.21, 60.0, 1.0), [State.IN_SERVICE, State.TRIPPED, State.ENTERING]),
    ("OV1, 1.0 s", TRIP, FULL, excursion(1.15, 60.0, 2.0), [State.IN_SERVICE, State.TRIPPED, State.ENTERING]),
    ("OV1, not for long enough", TRIP, FULL, excursion(1.15, 60.0, 0.9), [State.IN_SERVICE]),
    ("UV1, 2.0 s", TRIP, FULL, excursion(0.80, 60.0, 3.0), [State.IN_SERVICE, State.TRIPPED, State.ENTERING]),
    ("UV2, 0.5 s", TRIP, FULL, excursion(0.45, 60.0, 1.0), [State.IN_SERVICE, State.TRIPPED, State.ENTERING]),
    ("OF2, 1.0 s, droop before it", TRIP, FULL, excursion(1.0, 62.5, 2.0),
     [State.IN_SERVICE, State.TRIPPED, State.ENTERING]),
    ("UF2, 0.5 s", TRIP, FULL, excursion(1.0, 56.0, 1.0), [State.IN_SERVICE, State.TRIPPED, State.ENTERING]),
    ("momentary cessation, low", {"ride_through": OURS}, FULL, excursion(0.45, 60.0, 0.9),
     [State.CEASED, State.IN_SERVICE]),
    ("momentary cessation, high", {"ride_through": OURS}, FULL, excursion(1.15, 60.0, 5.0),
     [State.CEASED, State.IN_SERVICE]),
    ("Category II ceases above 1.20", {"ride_through": OURS, "rating": {"abnormal_category": "II"}}, FULL,
     excursion(1.22, 60.0, 0.5), [State.CEASED, State.IN_SERVICE]),
    ("Category I rides through 1.12",
     {"ride_through": {**OURS, "restore_s": 0.1}, "rating": {"abnormal_category": "I"}}, FULL,
     excursion(1.12, 60.0, 0.5), [State.IN_SERVICE]),
]
# fmt: on


def order(series: Series) -> list[State]:
    """Each state once for every time it begins; out of service is one state, OpenDER has no second word for it."""
    out = {State.OFF, State.WAITING}
    seen = [State.TRIPPED if State(s) in out else State(s) for s in series.state.tolist()]
    return [s for i, s in enumerate(seen) if i == 0 or s != seen[i - 1]]


@pytest.mark.parametrize(("what", "groups", "before", "parts", "expected"), STATES, ids=[row[0] for row in STATES])
def test_states(what: str, groups: dict[str, Any], before: Inputs, parts: Parts, expected: list[State]) -> None:
    chosen = quick(**groups)
    mine, other = ours(chosen, before, parts, MS), theirs(chosen, before, parts, MS)
    assert order(mine) == order(other) == expected
    assert apart(chosen, mine, other, late=LATE) <= WITHIN
    assert np.ptp(mine.p_w) > 1 * KW or expected == [State.IN_SERVICE]

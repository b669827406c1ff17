"""The compiled core against OpenDER in time: the way from one rest to another, within 1 % of S at every step.

Steps are fine (200 in the shortest response time): OpenDER's lag is bilinear with tau = T / 2.3, ours exact with
tau = T / ln 10, and that difference is not what is looked for.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest

from cython_core.settings import Settings
from tests.cython_core.unit import settings
from tests.need import missing
from tests.peers.opender import INSTALL
from tests.peers.series import Inputs, Parts, apart, changes, of, ours, step_periods, theirs
from tests.peers.series_rules import SERIES, Change, SeriesRule

WITHIN = 0.01  # of S
KW = 1000.0


@pytest.fixture(autouse=True, scope="module")
def _present() -> None:
    if find_spec("opender") is None:
        missing("EPRI's OpenDER", INSTALL)


def quick(**groups: Any) -> Settings:
    """Ramps that do not show, one reading is enough to open an event, wishes that live long."""
    common = {
        "limits": {"ramp_pu_s": 10.0},
        "default_wish": {"wish_lifetime_s": 86400.0},
        "freq_droop": {"refresh_s": 0.0},
    }
    return settings(**{**common, **groups})


def droop(**more: Any) -> dict[str, Any]:
    return {"freq_droop": {"refresh_s": 0.0, **more}}


VW_NEG = {"volt_watt": {"enable": True, "p2_pu": -1.0, "olrt_s": 2.0}}
# fmt: off
FUNCTIONS: list[tuple[str, dict[str, Any], Inputs, Parts, int]] = [
    # what, settings, before, then (steps, inputs) ..., ms in a step
    ("over-frequency, and back", droop(), Inputs(p_w=6 * KW),
     [(300, Inputs(1.0, 60.5, 6 * KW)), (300, Inputs(p_w=6 * KW))], 20),
    ("charging, under-frequency: it turns round", droop(t_response_s=2.0, k_uf=0.02), Inputs(p_w=-2 * KW),
     [(300, Inputs(1.0, 59.4, -2 * KW)), (300, Inputs(p_w=-2 * KW))], 10),
    ("volt-var", {"volt_var": {}}, Inputs(p_w=5 * KW),
     [(300, Inputs(1.08, 60.0, 5 * KW)), (200, Inputs(p_w=5 * KW))], 20),
    ("volt-var at the circle", {"volt_var": {}}, Inputs(p_w=10 * KW), [(300, Inputs(0.92, 60.0, 10 * KW))], 20),
    ("V_Ref follows", {"volt_var": {"v_ref_auto": True}}, Inputs(p_w=5 * KW), [(600, Inputs(1.04, 60.0, 5 * KW))], 100),
    ("watt-var", {"watt_var": {}}, Inputs(p_w=2 * KW), [(300, Inputs(p_w=8 * KW)), (300, Inputs(p_w=-8 * KW))], 20),
    ("power factor", {"power_factor": {"pf": 0.9}}, Inputs(p_w=1 * KW),
     [(300, Inputs(p_w=8 * KW)), (300, Inputs(p_w=-6 * KW))], 20),
    ("volt-watt at rated power", VW_NEG, Inputs(p_w=10 * KW),
     [(300, Inputs(1.09, 60.0, 10 * KW)), (300, Inputs(p_w=10 * KW))], 10),
    ("active power limit", {"active_limit": {"ramp_time_s": 5.0}}, Inputs(p_w=9 * KW),
     [(300, Inputs(p_w=9 * KW, ap_limit_pu=0.3)), (300, Inputs(p_w=9 * KW))], 20),
    ("wish along its ramp", {"limits": {"ramp_pu_s": 0.2}}, Inputs(p_w=-8 * KW), [(300, Inputs(p_w=7 * KW))], 40),
]
# fmt: on


@pytest.mark.parametrize(("what", "groups", "before", "parts", "k"), FUNCTIONS, ids=[row[0] for row in FUNCTIONS])
def test_function(what: str, groups: dict[str, Any], before: Inputs, parts: Parts, k: int) -> None:
    chosen = quick(**groups)
    mine = ours(chosen, before, parts, k)
    assert apart(chosen, mine, theirs(chosen, before, parts, k)) <= WITHIN


# ---- random changes ----

COUNT, LEAST, SEED, NIGHTLY = 60, 30, 6, 3_000


def distance(change: Change) -> float:
    """A step more or less is allowed: a steep curve or capability behind a lag makes much of half a step."""
    before, k = of(change.before), step_periods(change)
    parts = [(250, of(change.after)), (150, before)]
    chosen = change.after.settings
    return apart(chosen, ours(chosen, before, parts, k), theirs(chosen, before, parts, k), late=1)


def too_far(drawn: list[Change]) -> list[str]:
    return [f"{x:.4f} of S: {change}" for change in drawn if not (x := distance(change)) <= WITHIN]


def kept(count: int, seed: int) -> list[Change]:
    return [change for change in changes(count, seed) if not any(rule.where(change) for rule in SERIES)]


def test_random_changes() -> None:
    compared = kept(COUNT, SEED)
    assert len(compared) >= LEAST
    assert not too_far(compared)


@pytest.fixture(scope="module")
def drawn() -> list[Change]:
    return list(changes(400, SEED))


@pytest.mark.parametrize("rule", SERIES, ids=lambda rule: rule.name)
def test_a_rule_takes_no_more_than_its_share(rule: SeriesRule, drawn: list[Change]) -> None:
    assert sum(rule.where(change) for change in drawn) <= rule.most * len(drawn), rule.why


@pytest.mark.nightly
def test_many_more_random_changes() -> None:
    compared = kept(NIGHTLY, SEED + 1)
    assert len(compared) >= 0.5 * NIGHTLY
    assert not too_far(compared)

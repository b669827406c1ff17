"""owner of droop, volt-watt and the reactive mode: the inverter's own acts or ours does, never both (10 kW, 60 Hz)."""

from __future__ import annotations

from typing import Any

import pytest

from cython_core.records import DeviceValid, Reason
from cython_core.settings import MODES, Settings, digest
from tests.cython_core.unit import QUICK, Unit, reasons, running, settings

THEIRS = {"owner": "inverter"}
Groups = dict[str, dict[str, Any]]

# fmt: off
CONSTANT_Q: Groups = {"reactive": {"mode": "constant_q"}, "const_var": {"q_pu": 0.2}}
ACTS: list[tuple[str, Groups, dict[str, Any], Reason, str]] = [
    # function     settings                                 what happens        our reason           why
    ("freq_droop", {},                                      {"f_hz": 60.5},     Reason.DROOP,        "over"),
    ("freq_droop", {},                                      {"f_hz": 59.5},     Reason.DROOP,        "under"),
    ("volt_watt",  {"volt_watt": {"enable": True}},         {"v_v": (250.7,)},  Reason.VOLT_WATT,    "1.09 pu"),
    ("reactive",   {"reactive": {"mode": "volt_var"}},      {"v_v": (218.5,)},  Reason.VOLT_VAR,     "0.95 pu"),
    ("reactive",   {"reactive": {"mode": "watt_var"}},      {},                 Reason.WATT_VAR,     "80 %"),
    ("reactive",   CONSTANT_Q,                              {},                 Reason.CONST_VAR,    "0.2 pu"),
    ("reactive",   {"power_factor": {"pf": 0.95}},          {},                 Reason.POWER_FACTOR, "0.95"),
]
# fmt: on


def unit(function: str, groups: Groups, owner: str) -> Unit:
    own = {**groups.get(function, {}), "owner": owner}
    return running(8000.0, **{"limits": QUICK, **groups, function: own})


@pytest.mark.parametrize(("function", "groups", "event", "reason", "why"), ACTS, ids=[f"{a[0]} {a[-1]}" for a in ACTS])
def test_ours_acts_and_that_of_the_inverter_is_left_alone(
    function: str, groups: Groups, event: dict[str, Any], reason: Reason, why: str
) -> None:
    ours = unit(function, groups, "controller")
    quiet = ours.last
    record = ours.coast(30.0, **event)
    assert reasons(record) & reason
    assert (record.p_cmd_w, record.q_cmd_var) != (8000.0, 0.0)
    assert quiet.q_mode == record.q_mode

    theirs = unit(function, groups, "inverter")
    record = theirs.coast(30.0, **event)
    assert not reasons(record) & reason
    assert (record.p_cmd_w, record.q_cmd_var, record.dp_w) == (8000.0, 0.0, 0.0)
    if function == "reactive":
        assert MODES[record.q_mode] == "off"


@pytest.mark.parametrize("function", ["freq_droop", "volt_watt", "reactive"])
def test_the_owner_is_part_of_the_digest(function: str) -> None:
    theirs = Settings.from_mapping({function: THEIRS})
    assert getattr(Settings(), function).owner == "controller"
    assert digest(theirs, 10_000_000) != digest(Settings(), 10_000_000)


# fmt: off
MOVES: list[tuple[Groups, bool, str]] = [
    # settings                                                     a mismatch  why
    ({},                                                           True,       "nobody but us moves power"),
    ({"freq_droop": THEIRS},                                       False,      "its droop may"),
    ({"volt_watt": {**THEIRS, "enable": True}},                    False,      "its volt-watt may"),
    ({"volt_watt": THEIRS},                                        True,       "volt-watt is off"),
    ({"reactive": THEIRS},                                         True,       "Q is no power"),
]
# fmt: on


@pytest.mark.parametrize(("groups", "mismatch", "why"), MOVES, ids=[m[-1] for m in MOVES])
def test_power_that_the_inverters_own_function_moves_is_no_disobedience(
    groups: Groups, mismatch: bool, why: str
) -> None:
    more: dict[str, Any] = {"limits": QUICK, "fail_safe": {"mismatch_after_s": 5.0}, **groups}
    u = Unit(wish_w=500.0, **more)
    u.coast(10.0)
    record = u.coast(30.0, said={"p_w": 9000.0})
    assert bool(reasons(record) & Reason.POWER_MISMATCH) == mismatch
    assert record.d_valid & DeviceValid.P


def test_a_cessation_given_to_the_inverter_lets_go_as_a_restored_output_does() -> None:
    """8 kW, ceased at 0.4 pu; 0.4 s back to it are 200 W in a step of 10 ms, not 8 kW in one."""
    unit = running(8000.0, ride_through={"owner": "controller"})
    assert unit.advance(0.5, v_v=(0.4 * 230.0,)).p_cmd_w == 0.0
    unit.core.change(settings(ride_through=THEIRS))
    given = len(unit.records)
    assert unit.advance(0.39).p_cmd_w < 8000.0
    assert unit.largest_step_w(given) == pytest.approx(200.0)
    assert unit.advance(0.02).p_cmd_w == 8000.0


@pytest.mark.parametrize("off", [{"owner": "inverter", "enable": True}, {"enable": False}], ids=["given", "off"])
def test_a_ceiling_that_is_no_longer_ours_is_lifted_by_its_lag(off: dict[str, Any]) -> None:
    """1.08 pu: ceiling 5 kW; 59.3 Hz asks for more. 90 % of the 5 kW up to the rating in 10 s: 11.5 W in 10 ms."""
    unit = running(8000.0, volt_watt={"enable": True})
    assert unit.coast(60.0, v_v=(1.08 * 230.0,), f_hz=59.3).p_cmd_w == pytest.approx(5000.0, abs=1.0)
    unit.core.change(settings(volt_watt=off))
    given = len(unit.records)
    assert unit.advance(10.0).p_cmd_w == pytest.approx(9500.0, abs=5.0)
    assert unit.largest_step_w(given) <= 12.0


def test_the_settings_of_a_mode_that_is_not_ours_are_still_checked() -> None:
    with pytest.raises(ValueError, match=r"owner = 'grid' is not one of inverter \| controller"):
        settings(reactive={"owner": "grid"})

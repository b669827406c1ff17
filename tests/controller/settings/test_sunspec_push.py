"""A site's settings against the inverter's own functions, and into them: in virtual time, on the simulated inverter.

The inverter stands at the factory's points: defaults of Category B and III at 50 Hz, everything but trips off; 7 kW
out, 7.2 kW in, 7.4 kVA, 230 V. Scale factors: V, P and Q 0.1 %, seconds 0.1, droop 0.001.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

import drivers.sim.sunspec_curves
from controller.errors import InputError
from controller.settings.sunspec_own import ACTING, compare
from controller.settings.sunspec_push import Wire, push
from cython_core.settings import Settings
from drivers.sunspec.adopt import AdoptionError
from tests.drivers.sunspec_face import Face

RATING = {"f_nom_hz": 50, "v_nom_v": 230, "p_rated_w": 7000, "p_charge_rated_w": 7200, "s_rated_va": 7400}
THEIRS = {"owner": "inverter"}
Groups = Mapping[str, Mapping[str, Any]]
NOTHING_CHANGED: Groups = {}


def site(groups: Groups = NOTHING_CHANGED) -> Settings:
    return Settings.from_mapping({"rating": RATING, **groups})


def told(s: Settings, face: Face) -> list[str]:
    return [str(d) for d in compare(s, face.tables())]


def pushed(s: Settings, face: Face, installer: bool = False) -> list[str]:
    return list(push(s, face.tables(), Wire(face, face.now, face.sleep), installer))


def test_a_new_inverter_beside_a_controller_that_does_all_by_itself() -> None:
    assert told(site(), Face()) == []


# fmt: off
DROOP: Groups = {"freq_droop": THEIRS}
VOLT_WATT: Groups = {"volt_watt": {**THEIRS, "enable": True}}
VOLT_VAR: Groups = {"reactive": {**THEIRS, "mode": "volt_var"}}
DIFFERS: list[tuple[Groups, dict[str, float | None], list[str], str]] = [
    # settings, what the device has instead of the factory's, what is said, why
    (DROOP, {},
     ["model 711 Ena: inverter 0, settings 1"],
     "the points agree, but it is off"),
    ({}, {"711.Ena": 1},
     ["model 711 Ena: inverter 1, settings 0"],
     "both would act"),
    (DROOP, {"711.Ena": 1, "711.Ctl.0.KOf": 0.04},
     ["model 711 Ctl[1].KOf: inverter 0.04 pu/pu, settings 0.05 pu/pu (freq_droop.k_of)"],
     "another slope"),
    ({"freq_droop": {**THEIRS, "enable": False}}, {"711.Ctl.0.KOf": 0.04},
     [],
     "off in both: its points wait"),
    (DROOP, {"711.Ena": 1, "702.WMax": 5000},
     ["model 702 WMax: inverter 5000 W, settings 7000 W (rating.p_rated_w)"],
     "pu of another rating"),
    (VOLT_WATT, {"706.Ena": 1, "706.Crv.0.RspTms": 12, "706.Crv.0.Pt.1.V": 109},
     ["model 706 Crv[1].Pt[2].V: inverter 1.09 pu, settings 1.1 pu (volt_watt.v2_pu)",
      "model 706 Crv[1].RspTms: inverter 12 s, settings 10 s (volt_watt.olrt_s)"],
     "two points"),
    (VOLT_WATT, {"706.Ena": 1, "706.Crv.0.DeptRef": 1},
     ["model 706 Crv[1].DeptRef: percent of available power: the curve is of rated power (5.4.2)"],
     "cannot be read"),
    (VOLT_VAR, {"705.Ena": 1, "712.Ena": 1},
     ["model 712 Ena: inverter 1, settings 0"],
     "one mode at a time"),
    (VOLT_VAR, {"705.Ena": 1, "705.Crv.0.VRef": None, "705.Crv.0.VRefAutoEna": None},
     [],
     "a device without V_Ref acts as if it were 1"),
    (VOLT_VAR, {"705.Ena": 1, "705.Crv.0.VRef": 98},
     ["model 705 Crv[1].VRef: inverter 0.98 pu, settings 1 pu (volt_var.v_ref_pu)"],
     "moved sideways"),
    (VOLT_VAR, {"705.Ena": 1, "705.Crv.0.RspTms": None},
     ["model 705: inverter does not say, settings 5 s (volt_var.olrt_s)"],
     "no response time"),
    (VOLT_VAR, {"705.Ena": 1, "705.Crv.0.Pri": 0},
     ["model 705 Crv[1].Pri: inverter active, settings reactive (reactive.beyond_table_7)"],
     "what gives way"),
    ({"reactive": {**THEIRS, "mode": "constant_pf"}}, {"704.PFWInjEna": 1},
     ["model 704 PFWAbsEna: inverter 0, settings 1",
      "model 704 PFWAbsEna: is not PFWInjEna: the unit holds both or neither (5.3.2)"],
     "half a power factor"),
    ({"reactive": {**THEIRS, "mode": "off"}}, {"704.VarSetEna": 1},
     ["model 704 VarSetEna: inverter 1, settings 0"],
     "no mode at all"),
    ({}, {"704.VarSetEna": 1},
     [],
     "the controller's own set-point"),
    ({}, {"707.Crv.0.MustTrip.Pt.3.V": 80, "703.ESDlyTms": 60},
     ["model 703 ESDlyTms: inverter 60 s, settings 300 s (enter_service.delay_s)",
      "model 707 Crv[1].MustTrip.Pt[4].V: inverter 0.8 pu, settings 0.88 pu (voltage_trip.uv1_pu)"],
     "the installer's, compared always"),
]
# fmt: on


@pytest.mark.parametrize(("groups", "changed", "said", "why"), DIFFERS, ids=[d[-1] for d in DIFFERS])
def test_what_differs(groups: Groups, changed: dict[str, float | None], said: list[str], why: str) -> None:
    face = Face()
    for name, value in changed.items():
        face.unit.image.put(name, value)
    assert told(site(groups), face) == said


@pytest.mark.parametrize(("function", "model"), [("freq_droop", 711), ("volt_watt", 706), ("reactive", 705)])
def test_a_model_that_is_missing(function: str, model: int) -> None:
    on = {"mode": "volt_var"} if function == "reactive" else {"enable": True}
    s, tables = site({function: {**THEIRS, **on}}), Face().tables()
    del tables[model]
    assert [str(d) for d in compare(s, tables)] == [
        f"model {model} is missing: {function} cannot be the inverter's own"
    ]
    assert compare(site(), tables) == []  # ours: nobody misses it


ALL_THEIRS: Groups = {
    "freq_droop": {**THEIRS, "k_of": 0.04, "k_uf": 0.03, "db_of_hz": 0.02, "db_uf_hz": 0.03, "t_response_s": 2.5},
    "volt_watt": {**THEIRS, "enable": True, "v1_pu": 1.05, "v2_pu": 1.09, "p2_pu": -0.5, "olrt_s": 30.0},
    "reactive": {**THEIRS, "mode": "volt_var"},
    "volt_var": {"v1_pu": 0.9, "v2_pu": 0.97, "q1_pu": 0.4, "v_ref_pu": 1.01, "olrt_s": 7.5},
}


def test_all_three_functions_into_the_inverter() -> None:
    """Values by hand, in the device's own units, read by the simulator's layout."""
    face, s = Face(), site(ALL_THEIRS)
    assert pushed(s, face) == [
        "model 711: a set of 5 points is in force",
        "model 706: a set of 7 points is in force",
        "model 705: a set of 15 points is in force",
        "model 711: Ena = 1",
        "model 706: Ena = 1",
        "model 705: Ena = 1",
    ]
    assert told(s, face) == []
    shown = {
        "711.Ctl.0.KOf": 0.04, "711.Ctl.0.KUf": 0.03, "711.Ctl.0.DbOf": 0.02, "711.Ctl.0.DbUf": 0.03,
        "711.Ctl.0.RspTms": 2.5, "711.Ctl.0.PMin": -100.0,
        "706.Crv.0.ActPt": 2, "706.Crv.0.Pt.0.V": 105.0, "706.Crv.0.Pt.1.V": 109.0, "706.Crv.0.Pt.1.W": -50.0,
        "705.Crv.0.DeptRef": 3, "705.Crv.0.VRef": 101.0, "705.Crv.0.Pt.0.V": 90.0, "705.Crv.0.Pt.0.Var": 40.0,
        "705.Crv.0.Pt.3.Var": -44.0, "705.Crv.0.RspTms": 7.5,
    }  # fmt: skip
    assert {name: face.get(name) for name in shown} == pytest.approx(shown)
    face.writes.clear()
    assert pushed(s, face) == []  # a second time there is nothing to do
    assert face.writes == []


# fmt: off
MODES = [
    # mode, group, settings of it, points of the device as they are then
    ("watt_var", "watt_var", {"q3_pu": -0.3, "q3_load_pu": 0.2},
     {"712.Ena": 1, "712.Crv.0.ActPt": 6, "712.Crv.0.Pt.0.W": -100.0, "712.Crv.0.Pt.0.Var": 20.0,
      "712.Crv.0.Pt.5.Var": -30.0}),
    ("constant_pf", "power_factor", {"pf": 0.95, "excitation": "absorb"},
     {"704.PFWInjEna": 1, "704.PFWAbsEna": 1, "704.PFWInj.PF": 0.95, "704.PFWInj.Ext": 1, "704.PFWAbs.PF": 0.95,
      "704.PFWAbs.Ext": 0}),
    ("constant_q", "const_var", {"q_pu": -0.2},
     {"704.VarSetEna": 1, "704.VarSetMod": 3, "704.VarSetPct": -20.0, "704.VarSetRvrtTms": 0}),
    ("off", "const_var", {},
     {"704.VarSetEna": 0, "705.Ena": 0, "712.Ena": 0}),
]
# fmt: on


@pytest.mark.parametrize(("mode", "group", "values", "shown"), MODES, ids=[m[0] for m in MODES])
def test_each_reactive_mode_takes_over_from_volt_var(
    mode: str, group: str, values: dict[str, Any], shown: dict[str, float]
) -> None:
    face = Face()
    pushed(site(ALL_THEIRS), face)
    face.writes.clear()
    s = site({**ALL_THEIRS, "reactive": {**THEIRS, "mode": mode}, group: values})
    assert pushed(s, face)[0] == "model 705: Ena = 0"  # off first: two modes are never on at once
    assert told(s, face) == []
    assert {name: face.get(name) for name in shown} == pytest.approx(shown)


def test_back_to_the_controller_everything_goes_off() -> None:
    face = Face()
    pushed(site(ALL_THEIRS), face)
    assert pushed(site(), face) == ["model 711: Ena = 0", "model 706: Ena = 0", "model 705: Ena = 0"]
    assert told(site(), face) == []


TRIPS: Groups = {"voltage_trip": {"uv1_s": 10.0}, "frequency_trip": {"of2_s": 0.5}, "enter_service": {"delay_s": 60.0}}


def test_trips_and_enter_service_only_in_the_installers_name() -> None:
    face, s = Face(), site(TRIPS)
    assert len(told(s, face)) == 3
    assert pushed(s, face) == []
    assert face.writes == []
    assert pushed(s, face, installer=True) == [
        "model 703: 8 points written and read back",
        "model 707: a set of 16 points is in force",
        "model 710: a set of 11 points is in force",
    ]
    assert told(s, face) == []
    assert face.get("707.Crv.0.MustTrip.Pt.2.Tms") == 10.0
    assert face.get("707.Crv.0.MomCess.Pt.1.V") == 50.0
    assert face.get("710.Crv.0.MustTrip.Pt.1.Hz") == 52.0


def test_what_the_device_cannot_hold_is_refused_before_anything_is_written() -> None:
    face = Face()
    with pytest.raises(InputError) as error:
        pushed(site({**ALL_THEIRS, "freq_droop": {**THEIRS, "k_of": 0.0325, "k_uf": 0.0335}}), face)
    assert str(error.value).splitlines() == [
        f"freq_droop.{key} = {value} in model 711: the inverter holds n x 10^-3 (K_SF), n from 0 to 65534; choose a "
        "value that it can hold"
        for key, value in (("k_of", 0.0325), ("k_uf", 0.0335))
    ]
    assert face.writes == []


def test_a_device_with_too_few_points() -> None:
    face, s = Face(), site({"reactive": {**THEIRS, "mode": "watt_var"}})
    tables = face.tables()
    for i in (4, 5, 6, 7):
        for axis in ("W", "Var"):
            del tables[712].places[f"Crv.0.Pt.{i}.{axis}"]
    with pytest.raises(InputError, match=r"^model 712: the inverter has no Crv\[1\]\.Pt\[5\]\.W, which"):
        list(push(s, {**tables}, Wire(face, face.now, face.sleep), False))


def test_a_refused_set_stops_the_push_and_leaves_the_function_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers.sim.sunspec_curves, "is_followable", lambda sets, _: sets.model != 706)
    face, done = Face(), list[str]()
    work = push(site(ALL_THEIRS), face.tables(), Wire(face, face.now, face.sleep), False)
    with pytest.raises(AdoptionError, match="model 706: it refuses set 2"):
        done.extend(work)
    assert done == ["model 711: a set of 5 points is in force"]
    assert [face.get(f"{m}.Ena") for m in (705, 706, 711)] == [0, 0, 0]  # nothing was switched on
    assert face.get("706.Crv.0.Pt.1.V") == 110.0


def test_every_acting_function_has_an_owner() -> None:
    assert all(getattr(Settings(), f).owner == "controller" for f in ACTING)

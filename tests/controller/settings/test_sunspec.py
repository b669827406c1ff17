"""SunSpec models 702 to 712 as pysunspec2 keeps them: exact both ways, and pysunspec2 reads what is written."""

from __future__ import annotations

import importlib
import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as hypothesis_settings

from controller.errors import InputError
from controller.settings.sunspec import carried, from_device, to_device
from cython_core.settings import SettingError, Settings, to_mapping
from drivers.yamlfile import Problems
from tests.cython_core.strategies import settings


def imported(device: dict[str, Any], base: Settings | None = None) -> Settings:
    problems = Problems("device.json")
    groups = from_device(json.loads(json.dumps(device)), base, problems)
    assert problems.lines() == []
    return Settings.from_mapping(groups)


def complaints(device: dict[str, Any]) -> list[str]:
    problems = Problems("device.json")
    from_device(device, None, problems)
    return problems.lines()


def model(device: dict[str, Any], number: int) -> dict[str, Any]:
    return next(m for m in device["models"] if m["ID"] == number)


def short(s: Settings) -> Settings:
    """The same with as few digits as the integer points can carry: whole W, VA, V and seconds, shares of 0.001."""
    groups = to_mapping(s)
    for name in carried():
        group, key = name.split(".")
        value = groups[group][key]
        if isinstance(value, float):
            groups[group][key] = round(value, digits_of(group, key)) + 0.0
    groups["rating"]["s_rated_va"] = min(groups["rating"]["s_rated_va"], 60000.0)  # whole var in a uint16
    return Settings.from_mapping(groups)


def digits_of(group: str, key: str) -> int:
    if group == "rating":
        return {"q_inject_pu": 2, "q_absorb_pu": 2, "v_nom_v": 0}.get(key, -2)
    if key.endswith("_s"):
        return 0 if group == "enter_service" or key == "v_ref_time_s" else 2
    return 3


@hypothesis_settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(settings(f_nom=None))
def test_ours_to_sunspec_to_ours_is_exact(drawn: Settings) -> None:
    try:
        s = short(drawn)
    except SettingError:
        assume(False)  # rounding broke a range or a curve
    assert imported(to_device(s), s) == s
    base = Settings.from_mapping({"rating": {"f_nom_hz": s.rating.f_nom_hz}})
    groups, ours = to_mapping(imported(to_device(s), base)), to_mapping(s)
    for name in carried():
        group, key = name.split(".")
        assert groups[group][key] == ours[group][key], name


@hypothesis_settings(max_examples=40, deadline=None)
@given(settings(f_nom=None))
def test_a_value_of_too_many_digits_is_named_or_comes_back_exactly(s: Settings) -> None:
    try:
        device, refused = to_device(s), ""
    except InputError as error:
        device, refused = None, str(error)
    assert device is None or imported(device, s) == s
    assert all(line.split(" = ")[0] in carried() for line in refused.splitlines())


def test_the_defaults_as_pysunspec2_reads_them(tmp_path: Path) -> None:
    """Values by hand from IEEE 1547-2018 Tables 8, 10, 13, 18 and 24, Category B and III, 7 kW."""
    pytest.importorskip("sunspec2", reason="pysunspec2 is the oracle")
    client = importlib.import_module("sunspec2.file.client")
    file = tmp_path / "device.json"
    file.write_text(json.dumps(to_device(Settings())))
    device = client.FileClientDevice(str(file))
    device.scan()
    assert [m.model_id for m in device.model_list] == list(range(702, 713))
    assert [m.error_info for m in device.model_list] == [""] * 11
    for m in device.model_list:
        assert m.len - 2 == m.points["L"].value, f"length of model {m.model_id}"
    (ratings,) = device.models[702]
    assert ratings.WMax.cvalue == 7000
    assert ratings.VarMaxInj.cvalue == 3080
    (volt_var,) = device.models[705]
    assert [(p.V.cvalue, p.Var.cvalue) for p in volt_var.Crv[0].Pt] == [(92, 44), (98, 0), (102, 0), (108, -44)]
    (volt_watt,) = device.models[706]
    assert [(p.V.cvalue, p.W.cvalue) for p in volt_watt.Crv[0].Pt] == [(106, 100), (110, 0)]
    (low,) = device.models[707]
    must = [(p.V.cvalue, p.Tms.cvalue) for p in low.Crv[0].MustTrip.Pt]
    assert must == [(0, 2), (50, 2), (50, 21), (88, 21), (88, 1000)]
    assert [(p.V.cvalue, p.Tms.cvalue) for p in low.Crv[0].MomCess.Pt[:2]] == [(50, 0), (50, 2)]
    (high,) = device.models[710]
    assert [p.Hz.cvalue for p in high.Crv[0].MustTrip.Pt] == [70, 62, 62, 61.2, 61.2]
    (droop,) = device.models[711]
    assert (droop.Ctl[0].DbOf.cvalue, droop.Ctl[0].KUf.cvalue, droop.Ctl[0].RspTms.cvalue) == (0.036, 0.05, 5)
    (watt_var,) = device.models[712]
    assert [p.W.cvalue for p in watt_var.Crv[0].Pt] == [-100, -50, -20, 20, 50, 100]


def test_what_no_integer_holds_is_refused_by_name() -> None:
    s = Settings()
    with pytest.raises(InputError) as refused:
        to_device(replace(s, freq_droop=replace(s.freq_droop, k_of=0.0333333333)))
    assert "freq_droop.k_of = 0.0333333333 in model 711: the point holds n x 10^K_SF, n from 0 to 65534" in str(
        refused.value
    )


def test_a_large_rating_gets_a_positive_scale_factor() -> None:
    s = Settings()
    device = to_device(replace(s, rating=replace(s.rating, p_rated_w=950000.0)))
    assert (model(device, 702)["WMax"], model(device, 702)["W_SF"]) == (9500, 2)  # 95000 is more than a uint16


def test_every_function_but_the_products_own_is_carried() -> None:
    groups = {name.split(".")[0] for name in carried()}
    assert {f.name for f in fields(Settings)} - groups == {
        "fast_response",
        "inertia",
        "site_limits",
        "limits",
        "fail_safe",
        "default_wish",
    }


def altered(number: int, path: str, value: Any) -> dict[str, Any]:
    """The default device with one point changed."""
    device = to_device(Settings())
    node: Any = model(device, number)
    *way, last = path.split(".")
    for step in way:
        node = node[int(step)] if step.isdigit() else node[step]
    node[last] = value
    return device


# fmt: off
REFUSED = [
    # model, point, value, in the complaint
    (711, "Ctl.0.KOf", 500, "model 711 Ctl[1].KOf: k_of = 5 is outside 0.02 ... 0.05 pu/pu (6.5.2.7 Table 24)"),
    (711, "Ctl.0.KOf", 0.05, "model 711 Ctl[1].KOf: 0.05 is not a whole number"),
    (705, "Crv.0.ActPt", 3, "model 705 Crv[1].ActPt: 3 points; volt-var (5.3.3) has 4"),
    (705, "Crv.0.Pt.0.V", 99, "model 705 Crv[1].Pt[1].V: v1_pu = 0.99 is outside 0.82 ... 0.98 pu"),
    (705, "Crv.0.Pt.1.Var", -50, "q1_pu >= q2_pu >= q3_pu >= q4_pu does not hold"),
    (705, "Crv.0.DeptRef", 2, "percent of W_MAX (0), VAR_MAX (1) or VA_MAX (3) can be converted"),
    (705, "Ena", 1, "model 704 PFWInjEna and model 705 Ena are all enabled: one reactive mode at a time"),
    (706, "Crv.0.DeptRef", 1, "the curve is of rated power (5.4.2)"),
    (707, "Ena", 0, "shall-trip cannot be switched off"),
    (707, "Crv.0.MustTrip.ActPt", 4, "4 points; a curve of two levels has five, or two alone"),
    (704, "PFWAbs.PF", 0, "model 704 PFWAbs: is not PFWInj with the excitation turned"),
    (704, "VarSetPri", 0, "Pri of models 704, 705 and 712 differ"),
    (702, "AbnOpCatRtg", 3, "3 is not one of 0 (I), 1 (II), 2 (III)"),
    (703, "ES", 7, "7 is neither 0 (disabled) nor 1 (enabled)"),
]
# fmt: on


@pytest.mark.parametrize(("number", "path", "value", "text"), REFUSED, ids=[f"{r[0]} {r[1]}" for r in REFUSED])
def test_refused_with_model_point_value_and_clause(number: int, path: str, value: Any, text: str) -> None:
    lines = complaints(altered(number, path, value))
    assert any(text in line for line in lines), lines


def test_a_device_that_is_none() -> None:
    assert complaints({"models": 5}) == [
        'device.json: is not the JSON of a SunSpec device: it needs "models": [{"ID": 705, ...}, ...]'
    ]
    assert "holds none of the models 702 to 712" in complaints({"models": [{"ID": 1}]})[0]


def test_other_references_of_q_are_converted() -> None:
    """44 % of VAMax is 100 % of VarMax here: Table 7's own capability."""
    device = altered(705, "Crv.0.DeptRef", 1)
    for i, pct in enumerate((100, 0, 0, -50)):
        model(device, 705)["Crv"][0]["Pt"][i]["Var"] = pct
    s = imported(device)
    assert (s.volt_var.q1_pu, s.volt_var.q4_pu) == (0.44, -0.22)


def test_a_trip_curve_of_two_points_and_of_another_order() -> None:
    device = to_device(Settings())
    must = model(device, 707)["Crv"][0]["MustTrip"]
    must["ActPt"], must["Pt"][0], must["Pt"][1] = 2, {"V": 88, "Tms": 21}, {"V": 50, "Tms": 2}
    s = imported(device)
    assert (s.voltage_trip.uv1_pu, s.voltage_trip.uv1_s, s.voltage_trip.uv2_pu) == (0.88, 21.0, 0.5)

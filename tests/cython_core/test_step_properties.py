"""The whole step under anything: no NaN out for any bits in, and power inside limits this test works out by itself.

Words    every input field may be any 64-bit word: NaN of all kinds, infinities, denormals, times from anywhere. Only
         the grid time and k are the loop's own. Everything computed must be finite, every state one of its list.
Limits   from what the meter and the inverter said in that step and the site's settings: rating, circle, the inverter's
         own limits, battery, reactive capability, import and export, the fuse of each phase.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from numpy.typing import NDArray

from cython_core.bulk import START_NS, STEP
from cython_core.records import DeviceValid, MeasurementValid, Mode, Reason, Region, Session, State, Stop
from cython_core.settings import Settings
from cython_core.step import Core
from tests.cython_core.series import RATED_W, S_VA, V_NOM_V, pencil

Rows = NDArray[Any]
PERIOD_NS = 10_000_000
OURS = {"owner": "controller"}
INPUTS = [n for n in STEP.names or () if n[:2] in ("m_", "d_", "o_", "i_")]
# absent is NaN on purpose: no signal yet, no ceiling, no limits at the house connection
MAY_BE_NAN = {"f_hz", "v_pu", "v_lo_pu", "v_hi_pu", "vw_hi_w", "site_lo_w", "site_hi_w"}
OUTPUTS = [n for n in STEP.names or () if n not in INPUTS and STEP[n].kind == "f" and n not in MAY_BE_NAN]

ALL_ON: dict[str, dict[str, Any]] = {
    "volt_watt": {"enable": True, "p2_pu": -1.0, "olrt_s": 0.5},
    "active_limit": {"enable": True, "limit_pu": 0.9},
    "fast_response": {"enable": True},
    "inertia": {"enable": True},
    "freq_droop": {"t_response_s": 0.2, "refresh_s": 0.0},
    "voltage_trip": OURS,
    "frequency_trip": OURS,
    "ride_through": OURS,
    "enter_service": {**OURS, "delay_s": 0.1, "ramp_s": 1.0},
    "site_limits": {
        "enable": True, "fuse_a": 30.0, "import_w": 9000.0, "export_w": 5000.0,
        "share_l1_pu": 0.5, "share_l2_pu": 0.3, "share_l3_pu": 0.2,
    },
    "limits": {"p_min_abs_w": 100.0, "reverse_dwell_s": 0.05},
}  # fmt: skip
MODES: dict[str, dict[str, dict[str, Any]]] = {
    "volt_var": {"volt_var": {"olrt_s": 1.0, "v_ref_auto": True}},
    "watt_var": {"watt_var": {"response_s": 0.1}},
    "constant_q": {"const_var": {"q_pu": 0.44, "response_s": 0.1}},
    "constant_pf": {"power_factor": {"pf": 0.9, "response_s": 0.1}},
}


# --- any bits in every input ---


def plausible(rng: np.random.Generator, n: int, p_w: float = 6000.0, k: Any = 1) -> Rows:
    """Inputs a good day could bring, every step another."""
    rows = np.zeros(n, STEP)
    rows["k"] = k
    rows["t_ns"] = START_NS + np.cumsum(rows["k"]) * PERIOD_NS
    for name in ("m_t_f_ns", "m_t_v_ns", "m_t_p_ns", "d_t_ns", "d_t_echo_ns", "o_t_ns"):
        rows[name] = rows["t_ns"]
    rows["m_valid"] = int(sum(MeasurementValid))
    rows["m_f_hz"] = rng.choice([60.0, 60.0, 59.5, 60.5, 58.0, 61.5], n)
    for i in "123":
        rows[f"m_v{i}_v"] = V_NOM_V * rng.uniform(0.92, 1.09, n)
        rows[f"m_p{i}_w"] = rng.uniform(-p_w, p_w, n)
        rows[f"m_i{i}_a"] = abs(rows[f"m_p{i}_w"]) / rows[f"m_v{i}_v"] * rng.uniform(1.0, 1.4, n)
    rows["m_p_w"] = rows["m_p1_w"] + rows["m_p2_w"] + rows["m_p3_w"]
    rows["m_q_var"] = rng.uniform(-2000.0, 2000.0, n)
    rows["d_valid"] = int(sum(DeviceValid))
    rows["d_p_w"] = rng.uniform(-8000.0, 10000.0, n)
    rows["d_q_var"] = rng.uniform(-4400.0, 4400.0, n)
    rows["d_p_max_discharge_w"] = rng.choice([10000.0, 10000.0, 3000.0, 0.0], n)
    rows["d_p_max_charge_w"] = rng.choice([8000.0, 8000.0, 2000.0, 0.0], n)
    rows["d_p_min_abs_w"] = rng.choice([0.0, 500.0], n)
    rows["d_s_max_va"] = rng.choice([10000.0, 10000.0, 6000.0], n)
    rows["d_soc_pu"] = rng.choice([0.5, 0.5, 0.21, 0.94], n)
    rows["d_session"] = int(Session.READY)
    rows["d_status"] = 3
    rows["o_permit"] = 1
    rows["o_ap_limit_pu"] = rng.choice([np.nan, 0.8], n)
    rows["i_source"] = 7
    rows["i_lo_w"], rows["i_hi_w"] = -1e6, 1e6
    rows["i_p_w"] = rng.uniform(-9000.0, 11000.0, n)
    rows["i_q_var"] = np.nan
    rows["i_valid_from_ns"], rows["i_expires_ns"] = rows["t_ns"], rows["t_ns"] + 10**9
    rows["i_seq"] = 1 + np.arange(n)
    return rows


SPECIAL = np.array(
    [0, 1 << 63, 0x7FF0 << 48, 0xFFF0 << 48, 0x7FF8 << 48, 0x7FF0000000000001, 0xFFFFFFFFFFFFFFFF, 1, 0x7FEF << 48],
    dtype=np.uint64,
)  # +-0, +-inf, quiet and signalling NaN, all ones, a denormal, nearly the largest


def spoiled(rng: np.random.Generator, n: int, share: float) -> Rows:
    """A share of all input words is any 64 bits, or one of the special ones; the grid is mostly calm."""
    rows = plausible(rng, n, k=rng.choice([1] * 500 + [2, 17, 70000], n))
    rows["m_f_hz"] = rng.choice([60.0] * 200 + [60.05, 59.9, 57.0, 62.5], n)
    for i in "123":
        rows[f"m_v{i}_v"] = V_NOM_V * rng.choice([1.0] * 200 + [0.95, 1.05, 0.4, 1.15, 1.25], n)
    for name in INPUTS:
        words = rng.integers(0, 1 << 64, n, dtype=np.uint64)
        words = np.where(rng.random(n) < 0.5, rng.choice(SPECIAL, n), words)
        hit = rng.random(n) < share
        rows[name] = np.where(hit, words.view(STEP[name]), rows[name])
    return rows


@pytest.mark.parametrize("share", [0.003, 0.03, 0.3, 1.0])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.nightly)])
def test_no_nan_out_for_any_bits_in(mode: str, share: float, seed: int) -> None:
    rng = np.random.default_rng([seed, round(share * 1000)])
    chosen = pencil("B", **ALL_ON, **MODES[mode])
    raw = spoiled(rng, 20_000, share).tobytes()
    core = Core(chosen, 0.01)
    records = np.frombuffer(core.replay(raw), STEP)
    for name in OUTPUTS:
        bad = ~np.isfinite(records[name])
        assert not bad.any(), f"{name} = {records[name][bad][0]} in step {records['n'][bad][0]}"
    check_rating(records, chosen)
    for name, kind in (("state", State), ("mode", Mode), ("region", Region)):
        assert set(records[name].tolist()) <= {int(x) for x in kind}, name
    for name in ("fresh_f", "fresh_v", "fresh_p", "fresh_d"):
        assert set(records[name].tolist()) <= {0, 1, 2, 3}
    for name in ("es_pu", "restore_pu"):
        assert ((records[name] >= 0.0) & (records[name] <= 1.0)).all(), name
    silent = records["mode"] == Mode.SILENT
    assert (records["p_cmd_w"][silent] == 0.0).all()
    if share < 0.01:  # and it was no idle run
        assert (records["p_cmd_w"] > 100.0).any()
        assert (records["p_cmd_w"] < -100.0).any()


def check_rating(records: Rows, chosen: Settings) -> None:
    rating = chosen.rating
    p_w, q_var = records["p_cmd_w"], records["q_cmd_var"]
    assert (p_w <= rating.p_rated_w).all()
    assert (p_w >= -rating.p_charge_rated_w).all()
    assert (np.hypot(p_w, q_var) <= rating.s_rated_va * (1.0 + 1e-12)).all()
    assert (q_var <= rating.q_inject_pu * rating.s_rated_va + 1e-9).all()
    assert (q_var >= -rating.q_absorb_pu * rating.s_rated_va - 1e-9).all()


# fmt: off
FROM_TOMORROW = [
    # time of the reading  what it freezes                       inputs after it                   what must change
    ("m_t_f_ns",           "frequency: no droop answers",        {"m_f_hz": 59.0},                 "p_cmd_w"),
    ("m_t_v_ns",           "voltage: volt-var stands still",     {"m_v1_v": 1.05 * V_NOM_V},       "q_cmd_var"),
    ("d_t_ns",             "inverter: its limits are not seen",  {"d_p_max_discharge_w": 1000.0},  "p_cmd_w"),
]
# fmt: on


@pytest.mark.parametrize(("time", "why", "inputs", "changes"), FROM_TOMORROW, ids=[c[1] for c in FROM_TOMORROW])
def test_one_time_from_the_future_does_not_freeze_a_signal(
    time: str, why: str, inputs: dict[str, float], changes: str
) -> None:
    """One word with a flipped bit: what comes later must count, or the signal must grow old."""
    rows = plausible(np.random.default_rng(1), 3000)
    rows["m_valid"] = int(MeasurementValid.F | MeasurementValid.V1)
    calm = {
        "m_f_hz": 60.0,
        "m_v1_v": V_NOM_V,
        "d_p_max_discharge_w": 1e4,
        "d_s_max_va": 1e4,
        "d_soc_pu": 0.5,
        "d_q_var": 0.0,
    }
    for name, value in {**calm, "i_p_w": 4000.0, "o_ap_limit_pu": np.nan, "d_p_min_abs_w": 0.0}.items():
        rows[name] = value
    rows[time][100] += 1 << 52
    for name, value in inputs.items():
        rows[name][200:] = value
    records = np.frombuffer(Core(pencil("B", volt_var={}), 0.01).replay(rows.tobytes()), STEP)
    aged = records["fresh_d" if time == "d_t_ns" else "fresh_" + time[4]][-1] != 0
    assert aged or abs(records[changes][-1] - records[changes][199]) > 100.0


# --- inside limits worked out here ---

TOLERANCE_W = 1e-6


def known(records: Rows, bit: DeviceValid, name: str) -> NDArray[np.bool_]:
    return np.asarray((records["d_valid"] & int(bit) != 0) & np.isfinite(records[name]), dtype=np.bool_)


def check_inverter(r: Rows, chosen: Settings) -> None:
    rating = chosen.rating
    p_w, s_va = r["p_cmd_w"], np.hypot(r["p_cmd_w"], r["q_cmd_var"])
    most = np.where(known(r, DeviceValid.P_MAX_DISCHARGE, "d_p_max_discharge_w"), r["d_p_max_discharge_w"], 1e9)
    least = np.where(known(r, DeviceValid.P_MAX_CHARGE, "d_p_max_charge_w"), r["d_p_max_charge_w"], 1e9)
    assert (p_w <= np.minimum(np.maximum(most, 0.0), rating.p_rated_w) + TOLERANCE_W).all()
    assert (p_w >= -np.minimum(np.maximum(least, 0.0), rating.p_charge_rated_w) - TOLERANCE_W).all()
    s_max = np.where(known(r, DeviceValid.S_MAX, "d_s_max_va"), r["d_s_max_va"], 1e9)
    assert (s_va <= np.minimum(np.maximum(s_max, 0.0), rating.s_rated_va) * (1.0 + 1e-12) + TOLERANCE_W).all()
    smallest = np.where(known(r, DeviceValid.P_MIN_ABS, "d_p_min_abs_w"), r["d_p_min_abs_w"], 0.0)
    smallest = np.maximum(smallest, chosen.limits.p_min_abs_w)
    assert ((p_w == 0.0) | (abs(p_w) >= smallest - TOLERANCE_W)).all()
    away = ~np.isin(r["d_session"], [Session.READY, Session.CHARGING, Session.DISCHARGING])
    stopped = (r["o_permit"] == 0) | (r["o_stop"] == Stop.EMERGENCY) | away & (r["d_valid"] & DeviceValid.SESSION != 0)
    assert (p_w[stopped] == 0.0).all()


def house_span(r: Rows, chosen: Settings) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the house leaves for the unit: 0 always, and as far as connection and fuses bear with the load there is."""
    site = chosen.site_limits
    load_w = r["d_p_w"] - r["m_p_w"]
    low = [load_w - site.import_w + site.margin_w]
    high = [load_w + site.export_w - site.margin_w]
    for i, share in enumerate((site.share_l1_pu, site.share_l2_pu, site.share_l3_pu), 1):
        if share == 0.0:
            continue
        volts, phase_load_w = r[f"m_v{i}_v"], share * r["d_p_w"] - r[f"m_p{i}_w"]
        q2 = np.maximum((volts * r[f"m_i{i}_a"]) ** 2 - r[f"m_p{i}_w"] ** 2, 0.0)
        bears_w = np.sqrt(np.maximum((volts * site.fuse_a) ** 2 - q2, 0.0)) - site.margin_w * share
        low.append((phase_load_w - np.maximum(bears_w, 0.0)) / share)
        high.append((phase_load_w + np.maximum(bears_w, 0.0)) / share)
    return np.minimum(np.max(low, axis=0), 0.0), np.maximum(np.min(high, axis=0), 0.0)


def check_site(r: Rows, chosen: Settings) -> None:
    """Inside what the house leaves; and what the record says it leaves is no less than that."""
    r = r[1:][r["d_p_w"][1:] == r["d_p_w"][:-1]]
    low, high = house_span(r, chosen)
    assert (r["p_cmd_w"] >= low - TOLERANCE_W).all()
    assert (r["p_cmd_w"] <= high + TOLERANCE_W).all()
    told = np.isfinite(r["site_lo_w"])
    assert told.mean() > 0.5
    assert r["site_lo_w"][told] == pytest.approx(low[told], abs=1e-4)
    assert r["site_hi_w"][told] == pytest.approx(high[told], abs=1e-4)


@st.composite
def sites(draw: st.DrawFn) -> Settings:
    """Any unit at any house."""
    watts = st.floats(500.0, 20_000.0)
    mode = draw(st.sampled_from(sorted(MODES)))
    one = draw(st.sampled_from([(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.5, 0.5, 0.0), (0.5, 0.3, 0.2)]))
    ride = draw(st.sampled_from(["inverter", "controller"]))
    s_va = draw(watts)
    groups: dict[str, Any] = {
        **MODES[mode],
        "rating": {"p_rated_w": draw(watts), "p_charge_rated_w": draw(watts), "s_rated_va": s_va},
        "volt_watt": {"enable": True, "p2_pu": draw(st.sampled_from([0.0, -1.0])), "olrt_s": 0.5},
        "freq_droop": {"t_response_s": 0.2, "refresh_s": 0.0},
        "ride_through": {"owner": ride},
        "reactive": {"at_low_power": draw(st.sampled_from(["full", "in_proportion"]))},
        "limits": {
            "p_min_abs_w": draw(st.sampled_from([0.0, 300.0])),
            "reverse_dwell_s": draw(st.sampled_from([0.0, 0.05])),
        },
        "site_limits": {
            "enable": True,
            "import_w": draw(watts),
            "export_w": draw(st.one_of(watts, st.just(0.0))),
            "fuse_a": draw(st.floats(6.0, 63.0)),
            "margin_w": draw(st.sampled_from([0.0, 200.0])),
            **{f"share_l{i}_pu": share for i, share in enumerate(one, 1)},
        },
    }
    return pencil("B", **groups)


@effort(max_examples=60)
@given(chosen=sites(), seed=st.integers(0, 1 << 30), house_w=st.sampled_from([500.0, 3000.0, 8000.0]))
def test_inside_the_limits_of_inverter_and_house(chosen: Settings, seed: int, house_w: float) -> None:
    rng = np.random.default_rng(seed)
    rows = plausible(rng, 400, house_w)
    rows["d_session"] = rng.choice([3, 3, 3, 3, 4, 5, 1], 400)
    rows["o_permit"] = rng.choice([1] * 30 + [0], 400)
    rows["o_stop"] = rng.choice([0] * 30 + [1, 2], 400)
    hold = np.repeat(np.arange(0, 400, 8), 8)  # eight steps of the same, so that power gets somewhere
    for name in INPUTS:
        if not name.endswith("_ns") and name != "i_seq":
            rows[name] = rows[name][hold]
    records = np.frombuffer(Core(chosen, 0.01).replay(rows.tobytes()), STEP)
    check_rating(records, chosen)
    check_inverter(records, chosen)
    check_site(records, chosen)


def test_meter_and_inverter_of_the_same_step_belong_together() -> None:
    """Both say in one step that the unit went from 0 to 4 kW: the house still draws 1 kW, 2 kW of export are left."""
    site = {"enable": True, "export_w": 1000.0, "margin_w": 0.0}
    rows = plausible(np.random.default_rng(1), 2)
    rows["m_valid"] = int(MeasurementValid.F | MeasurementValid.V1 | MeasurementValid.P)
    rows["m_f_hz"], rows["m_v1_v"] = 60.0, V_NOM_V
    rows["d_p_w"], rows["m_p_w"] = (0.0, 4000.0), (-1000.0, 3000.0)
    records = np.frombuffer(Core(pencil("B", site_limits=site), 0.01).replay(rows.tobytes()), STEP)
    assert records["site_hi_w"] == pytest.approx([2000.0, 2000.0])


@effort(max_examples=30)
@given(soc=st.floats(0.0, 1.0), wish_pu=st.sampled_from([1.0, -0.8]), f_hz=st.sampled_from([60.0, 58.9, 61.1]))
def test_inside_what_the_battery_has(soc: float, wish_pu: float, f_hz: float) -> None:
    """Straight to 0 over the band beside each limit; frequency changes nothing of it."""
    chosen = pencil("B")
    rows = plausible(np.random.default_rng(1), 400)
    rows["d_valid"] = int(DeviceValid.SOC | DeviceValid.STATUS)
    rows["d_soc_pu"], rows["i_p_w"], rows["m_f_hz"], rows["o_ap_limit_pu"] = soc, wish_pu * RATED_W, f_hz, np.nan
    rows["m_valid"] = int(MeasurementValid.F | MeasurementValid.V1)
    rows["m_v1_v"] = V_NOM_V
    p_w = np.frombuffer(Core(chosen, 0.01).replay(rows.tobytes()), STEP)["p_cmd_w"]
    limits = chosen.limits
    discharge = np.clip((soc - limits.soc_min_pu) / limits.soc_band_pu, 0.0, 1.0)
    charge = np.clip((limits.soc_max_pu - soc) / limits.soc_band_pu, 0.0, 1.0)
    assert p_w.max() <= discharge * RATED_W + TOLERANCE_W
    assert p_w.min() >= -charge * 8000.0 - TOLERANCE_W
    if f_hz == 60.0:
        room_w = discharge * RATED_W if wish_pu > 0.0 else charge * 8000.0
        assert abs(p_w[-1]) == pytest.approx(min(abs(wish_pu) * RATED_W, room_w), abs=1e-3)


@pytest.mark.parametrize(("p_pu", "share"), [(0.0, 0.0), (0.05, 0.25), (0.1, 0.5), (-0.1, 0.5), (0.2, 1.0), (0.9, 1.0)])
def test_reactive_capability_in_proportion_below_20_percent(p_pu: float, share: float) -> None:
    chosen = pencil("B", reactive={"at_low_power": "in_proportion"}, const_var={"q_pu": 0.44, "response_s": 0.1})
    rows = plausible(np.random.default_rng(1), 600)
    rows["d_valid"] = int(DeviceValid.SOC | DeviceValid.STATUS)
    rows["d_soc_pu"], rows["i_p_w"], rows["m_f_hz"], rows["o_ap_limit_pu"] = 0.5, p_pu * RATED_W, 60.0, np.nan
    record = np.frombuffer(Core(chosen, 0.01).replay(rows.tobytes()), STEP)[-1]
    assert record["q_cmd_var"] / S_VA == pytest.approx(0.44 * share, abs=1e-6)
    assert bool(record["reasons"] & Reason.REACTIVE_LIMIT) == (share < 1.0)

"""Expanded steady-state procedures against tables worked out by pencil from the standard's own points.

a_V = 0.015 pu = 3.6 V, V_L + a_V = 214.8 V, V_H - a_V = 260.4 V, a_f = 0.015 Hz, a_P = 750 W. Q and P in var and W.
"""

from dataclasses import replace

import pytest

from controller.bench.plan import Inside, Response, Steady
from tests.controller.bench.golden import EUT, cases, rows, targets

# fmt: off
VOLT_VAR = {  # curve: ((steps, V, Q, why), ...)
    "char_1": (
        ("g q", 241.2, 0, "V3 - a_V: still in the deadband"),
        ("h p", 248.4, -1100, "V3 + a_V: 0.015 of the 0.06 pu to V4"),
        ("i o", 252.0, -2200, "half way to V4"),
        ("j n", 255.6, -3300, "V4 - a_V"),
        ("k l m", 260.4, -4400, "beyond V4; k and m are clipped from 262.8 V"),
        ("r dd", 240.0, 0, "V_ref"),
        ("s cc", 238.8, 0, "V2 + a_V"),
        ("t bb", 231.6, 1100, "V2 - a_V"),
        ("u aa", 228.0, 2200, "half way to V1"),
        ("v z", 224.4, 3300, "V1 + a_V"),
        ("w y", 217.2, 4400, "V1 - a_V"),
        ("x", 214.8, 4400, "V_L + a_V"),
    ),
    "char_2": (
        ("g q s cc", 253.2, 2200, "1.055: between V2 and V3, half of Q_max"),
        ("h i l o p", 260.4, -1100, "1.085: half way from +2200 to -4400"),
        ("r dd", 252.0, 2200, "V_ref = 1.05"),
        ("t bb", 246.0, 2406.25, "1.025: 0.015 of 0.16 pu on the way up by 2200"),
        ("u aa", 230.4, 3300, "0.96: half way to V1"),
        ("x", 214.8, 4193.75, "0.895: 0.015 of 0.16 pu above V1; v, w, y, z are left out, V1 = V_L"),
    ),
    "char_3": (
        ("g q s cc", 226.8, -2200, "0.945: between V2 and V3"),
        ("h p", 234.0, -2435.714, "0.975: 0.015 of 0.14 pu on the way down by 2200"),
        ("i o", 247.2, -3300, "1.03: half way to V4"),
        ("l", 260.4, -4164.286, "1.085: 0.015 of 0.14 pu before V4; j, k, m, n are left out, V4 = V_H"),
        ("r dd", 228.0, -2200, "V_ref = 0.95"),
        ("t u v z aa bb", 219.6, 1100, "0.915: half way from +4400 to -2200"),
        ("w x y", 214.8, 4400, "V_L + a_V; w and y are clipped from 0.885"),
    ),
}
WRITTEN = {  # V_ref, V1 ... V4, Q1 ... Q4 in pu: a unit's points are those for V_ref = 1
    "char_1": (1.00, 0.92, 0.98, 1.02, 1.08, 0.44, 0, 0, -0.44),
    "char_2": (1.05, 0.83, 0.99, 1.02, 1.05, 0.44, 0.22, 0.22, -0.44),
    "char_3": (0.95, 0.95, 0.98, 1.01, 1.15, 0.44, -0.22, -0.22, -0.44),
}
POINTS = ("v_ref", "v1", "v2", "v3", "v4", "q1", "q2", "q3", "q4")
ORDER = [*"ghijklmnopqrstuvwxyz", "aa", "bb", "cc", "dd"]
TIMES = {"char_1": (5, 20, 0.05), "char_2": (1, 4, 0.01), "char_3": (90, 360, 0.9)}  # T_r, 4 T_r, 1 % of it

VOLT_WATT = {  # case: {step: (V, P)}
    "char_1-discharge-100": {"g": (214.8, 10000), "h": (250.8, 10000), "i": (258.0, 6250), "j": (259.2, 5000),
                             "k": (260.4, 3750), "m": (260.4, 3750), "s": (214.8, 10000)},
    "char_1-discharge-66": {"h": (250.8, 6600), "i": (258.0, 6250), "j": (259.2, 5000)},  # lower of demand and curve
    "char_1-discharge-20": {"h": (250.8, 2000), "k": (260.4, 2000)},
    "char_1-charge-100": {"h": (250.8, -10000), "k": (260.4, -10000)},  # a ceiling leaves charging alone
    "char_2-discharge-100": {"h": (248.4, 10000), "i": (255.6, 4000), "j": (258.0, 0), "k": (260.4, -4000)},
    "char_3-discharge-100": {"h": (258.0, 10000), "i": (264.0, -10000), "j": (262.8, 0), "k": (260.4, 10000)},
}
ABOVE = {  # case: {step: (Hz, P)}; slope P_rated / (60 k): 3333.3 W/Hz at 0.05, 8333.3 at 0.02
    "char_1-100": {"h": (60.021, 10000), "i": (60.051, 9950), "j": (60.186, 9500), "k": (61.2, 6120),
                   "l": (61.05, 6620), "m": (60.051, 9950), "n": (60.021, 10000), "o": (60.0, 10000)},
    "char_1-66": {"j": (60.186, 6100), "k": (61.2, 2720)},
    "char_1-20": {"k": (61.2, -1880), "l": (61.05, -1380)},  # crosses into charging
    "char_1-charge_50": {"k": (61.2, -8880)},
    "char_2-100": {"h": (60.002, 10000), "i": (60.032, 9875), "j": (60.077, 9500), "k": (61.2, 141.667),
                   "l": (61.14, 641.667)},
    "char_2-charge_50": {"k": (61.2, -10000)},  # the floor: full charging power
}
BELOW = {
    "char_1-discharge_50": {"g": (59.979, 5000), "h": (59.949, 5050), "i": (59.814, 5500), "j": (58.8, 8880),
                            "k": (58.95, 8380), "l": (59.949, 5050), "m": (59.979, 5000), "n": (60.0, 5000)},
    "char_1-charge_50": {"h": (59.949, -4950), "i": (59.814, -4500), "j": (58.8, -1120), "k": (58.95, -1620)},
    "char_2-discharge_50": {"j": (58.8, 10000)},  # the ceiling: rated power
    "char_2-charge_50": {"j": (58.8, 4858.333)},  # crosses zero
}
LIMIT = {  # 66: 6600 W; droop adds and takes 0.964 Hz x 3333.3 W/Hz = 3213.3 W; volt-watt leaves 5000 W at 1.08
    "66": {"b": 10000, "c": 6600, "d": 9813.333, "d_back": 6600, "e": 3386.667, "e_back": 6600, "f": 5000,
           "f_back": 6600},
    "33": {"c": 3300, "d": 6513.333, "e": 86.667, "f": 3300},
    "0": {"c": 0, "d": 3213.333, "e": -3213.333, "f": 0},  # a unit that can charge does
}
PRIORITY_P = [  # step, V, Hz, W with P2 = 0.2, W with P2 = 0
    ("1", 240.0, 60.00, 5000, 5000), ("2", 261.6, 60.00, 4000, 2500), ("3", 261.6, 60.33, 3020, 1520),
    ("4", 261.6, 60.00, 4000, 2500), ("5", 261.6, 59.36, 4000, 2500), ("6", 240.0, 59.36, 6013.333, 4513.333),
    ("7", 240.0, 60.00, 5000, 5000), ("8", 240.0, 59.36, 7013.333, 7013.333),
]
PRIORITY_Q = {  # step: volt-var, constant Q, PF 0.9 (0.4843 of P), watt-var; with P2 = 0.2
    "1": (0, 4400, 2421.61, 0), "2": (-4400, 4400, 1937.288, 0), "3": (-4400, 4400, 1462.653, 0),
    "6": (0, 4400, 2912.39, -891.733), "8": (0, 4400, 3396.712, -1771.733),
}
# fmt: on


@pytest.mark.parametrize("curve", VOLT_VAR)
@pytest.mark.parametrize("power", ["discharge-100", "discharge-66", "discharge-20", "charge-100", "charge-20"])
def test_volt_var(curve: str, power: str) -> None:
    case = cases("volt_var")[f"volt_var-{curve}-{power}"]
    expected = {step: (v, q) for steps, v, q, _ in VOLT_VAR[curve] for step in steps.split()}
    assert [step.name for step in case.steps] == ORDER
    assert {name: (v, q) for name, v, _, q in rows(case, "q_var")} == expected  # the same curve at every power
    t_r, hold, sample = TIMES[curve]
    for step in case.steps:
        if not step.skipped:
            assert (step.hold_s, step.sample_s) == (hold, sample)
            (response,) = (c for c in step.criteria if isinstance(c, Response))
            assert (response.t_r_s, response.final_from_s, response.final_to_s) == (t_r, 2 * t_r, 4 * t_r)
    assert tuple(case.settings[f"volt_var.{name}_pu"] for name in POINTS) == WRITTEN[curve]
    assert (case.settings["reactive.mode"], case.settings["volt_var.olrt_s"]) == ("volt_var", t_r)


def test_volt_var_of_category_a() -> None:
    eut = replace(EUT, normal_category="A", q_absorb_var=2500.0)
    found = {name: (v, q) for name, v, _, q in rows(cases("volt_var", eut)["volt_var-char_1-discharge-100"], "q_var")}
    assert found["g"] == (236.4, 375)  # 0.985: 0.015 of 0.10 pu below V2 = V3 = 1.00
    assert found["i"] == (252.0, -1250)
    assert found["l"] == (260.4, -2125)
    assert not {"j", "k", "m", "n"} & set(found)  # V4 = V_H


def test_volt_var_clips_and_tells() -> None:
    case = cases("volt_var")["volt_var-char_1-discharge-100"]
    assert case.notes == tuple(
        f"step {name}: V4 + a_V = 1.095 pu is clipped to V_H - a_V = 1.085 pu" for name in ("k", "m")
    )


@pytest.mark.parametrize("name", VOLT_WATT)
def test_volt_watt(name: str) -> None:
    found = {step: (v, p) for step, v, _, p in rows(cases("volt_watt")[f"volt_watt-{name}"], "p_w")}
    assert {step: found[step] for step in VOLT_WATT[name]} == VOLT_WATT[name]
    assert not {"l", "n"} & set(found)  # V2 + a_V > V_H


@pytest.mark.parametrize(
    ("procedure", "name", "expected"),
    [("freq_droop_above", *row) for row in ABOVE.items()] + [("freq_droop_below", *row) for row in BELOW.items()],
)
def test_droop(procedure: str, name: str, expected: dict[str, tuple[float, float]]) -> None:
    case = cases(procedure)[f"{procedure}-{name}"]
    found = {step: (f, p) for step, _, f, p in rows(case, "p_w")}
    assert {step: found[step] for step in expected} == expected
    assert {step.ramp_hz_s for step in case.steps} == {3.0}  # every change is a ramp, Category III


@pytest.mark.parametrize(("category", "rocof", "k", "t_r"), [("I", 0.5, 0.03, 1.0), ("II", 2.0, 0.03, 1.0)])
def test_droop_of_other_categories(category: str, rocof: float, k: float, t_r: float) -> None:
    case = cases("freq_droop_above", replace(EUT, abnormal_category=category))["freq_droop_above-char_2-100"]
    assert {step.ramp_hz_s for step in case.steps} == {rocof}
    assert (case.settings["freq_droop.k_of"], case.settings["freq_droop.t_response_s"]) == (k, t_r)


def test_droop_has_a_floor_when_the_unit_cannot_charge() -> None:
    eut = replace(EUT, p_charge_rated_w=0.0, p_min_w=500.0)
    all_cases = cases("freq_droop_above", eut)
    found = {step: p for step, _, _, p in rows(all_cases["freq_droop_above-char_1-20"], "p_w")}
    assert found["k"] == 500
    assert all_cases["freq_droop_above-char_1-charge_50"].skipped == "the unit cannot charge"


@pytest.mark.parametrize("limit", LIMIT)
def test_limit_active_power(limit: str) -> None:
    case = cases("limit_active_power")[f"limit_active_power-{limit}"]
    found = {step: p for step, _, _, p in rows(case, "p_w")}
    for step in case.steps:  # the limit itself: every sample from 30 s on
        found.update((step.name, c.high) for c in step.criteria if isinstance(c, Inside) and c.from_s == 30)
    assert {step: found[step] for step in LIMIT[limit]} == LIMIT[limit]


@pytest.mark.parametrize("mode", ["volt_var", "constant_q", "constant_pf", "watt_var"])
@pytest.mark.parametrize(("p2", "column"), [("p2_20", 3), ("p2_0", 4)])
def test_prioritisation_power(mode: str, p2: str, column: int) -> None:
    case = cases("prioritisation")[f"prioritisation-{p2}-{mode}"]
    assert rows(case, "p_w") == [(*row[:3], row[column]) for row in PRIORITY_P]
    assert (case.start.ap_limit_pu, case.settings["reactive.mode"]) == (0.5, mode)


@pytest.mark.parametrize(("place", "mode"), list(enumerate(["volt_var", "constant_q", "constant_pf", "watt_var"])))
def test_prioritisation_reactive(place: int, mode: str) -> None:
    power = {row[0]: row[3] for row in PRIORITY_P}
    for step in cases("prioritisation")[f"prioritisation-p2_20-{mode}"].steps:
        if step.name in PRIORITY_Q:
            q = targets(step, "q_var", {"p_w": power[step.name]})
            assert q == pytest.approx(PRIORITY_Q[step.name][place], abs=0.1), step.name


def test_every_steady_window_lies_behind_two_response_times() -> None:
    for case in cases("volt_var").values():
        for step in case.steps:
            for rule in step.criteria:
                if isinstance(rule, Steady):
                    assert (rule.from_s, rule.to_s) == (step.hold_s / 2, step.hold_s)

"""Default and range of every setting of IEEE 1547-2018, by its name in EPRI's common file format and by category.

None: the edge depends on another setting (tested with the curves), or the setting is a word or a switch. Where ours
differs, the last column says why. Enable flags of the reactive modes are one word here, `reactive.mode`.
"""

from __future__ import annotations

from dataclasses import Field, fields
from typing import Any, get_type_hints

import pytest

from cython_core.quantities import range_of
from cython_core.settings import Settings

BY_EPRI: dict[str, Field[Any]] = {
    f.metadata["epri"]: f for kind in get_type_hints(Settings).values() for f in fields(kind) if f.metadata.get("epri")
}

# fmt: off
STANDARD: list[tuple[str, str, Any, float | None, float | None, str]] = [
    # name, category, default, lowest, highest, clause and why ours differs
    ("AP_LIMIT_ENABLE",         "B",   False,    None,  None,   "4.6.2, 10.6.12"),
    ("AP_LIMIT",                "B",   1.0,      0.0,   1.0,    "4.6.2, Table 40"),
    ("AP_RT",                   "B",   10.0,     0.1,   30.0,   "4.6.2: 30 s at most, and a ramp needs a time"),
    ("ES_PERMIT_SERVICE",       "B",   True,     None,  None,   "4.6.1, 4.10.2"),
    ("ES_V_LOW",                "B",   0.917,    0.88,  0.95,   "4.10.2, Table 4"),
    ("ES_V_HIGH",               "B",   1.05,     1.05,  1.06,   "4.10.2, Table 4"),
    ("ES_F_LOW",                "B",   59.5,     59.0,  59.9,   "4.10.2, Table 4"),
    ("ES_F_HIGH",               "B",   60.1,     60.1,  61.0,   "4.10.2, Table 4"),
    ("ES_DELAY",                "B",   300.0,    0.0,   600.0,  "4.10.3, Table 39"),
    ("ES_RAMP_RATE",            "B",   300.0,    0.0,   1000.0, "4.10.3: 0: no ramp"),
    ("ES_RANDOMIZED_DELAY",     "B",   0.0,      0.0,   1000.0, "4.10.3: 0, the default: not used beside a ramp"),
    ("CONST_PF",                "B",   1.0,      0.5,   1.0,    "5.3.2: below 0.5 there is hardly a power"),
    ("CONST_PF_EXCITATION",     "B",   "inject", None,  None,   "5.3.2"),
    ("CONST_PF_RT",             "B",   5.0,      0.1,   10.0,   "5.3.2: 10 s at most; half leaves room for the wires"),
    ("QV_VREF",                 "A",   1.0,      0.95,  1.05,   "5.3.3, Table 8"),
    ("QV_VREF",                 "B",   1.0,      0.95,  1.05,   "5.3.3, Table 8"),
    ("QV_VREF_AUTO_MODE",       "B",   False,    None,  None,   "5.3.3"),
    ("QV_VREF_TIME",            "B",   300.0,    300.0, 5000.0, "5.3.3, Table 31"),
    ("QV_VREF_MIN",             "B",   0.95,     0.88,  0.98,   "5.3.3"),
    ("QV_VREF_MAX",             "B",   1.05,     1.02,  1.1,    "5.3.3"),
    ("QV_CURVE_V1",             "A",   0.9,      None,  None,   "5.3.3, Table 8"),
    ("QV_CURVE_V1",             "B",   0.92,     None,  None,   "5.3.3, Table 8"),
    ("QV_CURVE_Q1",             "A",   0.25,     0.0,   None,   "5.3.3, Table 8"),
    ("QV_CURVE_Q1",             "B",   0.44,     0.0,   None,   "5.3.3, Table 8"),
    ("QV_CURVE_V2",             "A",   1.0,      None,  None,   "5.3.3, Table 8"),
    ("QV_CURVE_V2",             "B",   0.98,     None,  None,   "5.3.3, Table 8"),
    ("QV_CURVE_Q2",             "A",   0.0,      None,  None,   "5.3.3, Table 8"),
    ("QV_CURVE_Q2",             "B",   0.0,      None,  None,   "5.3.3, Table 8"),
    ("QV_CURVE_V3",             "A",   1.0,      None,  None,   "5.3.3, Table 8"),
    ("QV_CURVE_V3",             "B",   1.02,     None,  None,   "5.3.3, Table 8"),
    ("QV_CURVE_Q3",             "A",   0.0,      None,  None,   "5.3.3, Table 8"),
    ("QV_CURVE_Q3",             "B",   0.0,      None,  None,   "5.3.3, Table 8"),
    ("QV_CURVE_V4",             "A",   1.1,      None,  None,   "5.3.3, Table 8"),
    ("QV_CURVE_V4",             "B",   1.08,     None,  None,   "5.3.3, Table 8"),
    ("QV_CURVE_Q4",             "A",   -0.25,    None,  0.0,    "5.3.3, Table 8"),
    ("QV_CURVE_Q4",             "B",   -0.44,    None,  0.0,    "5.3.3, Table 8"),
    ("QV_OLRT",                 "A",   10.0,     1.0,   90.0,   "5.3.3, Table 8"),
    ("QV_OLRT",                 "B",   5.0,      1.0,   90.0,   "5.3.3, Table 8"),
    ("QP_CURVE_P1_GEN",         "B",   None,     None,  None,   "5.3.4, Table 9"),
    ("QP_CURVE_P2_GEN",         "B",   0.5,      0.4,   0.8,    "5.3.4, Table 9"),
    ("QP_CURVE_P3_GEN",         "B",   1.0,      None,  1.0,    "5.3.4, Table 9"),
    ("QP_CURVE_P1_LOAD",        "B",   None,     None,  None,   "5.3.4, Table 9"),
    ("QP_CURVE_P2_LOAD",        "B",   -0.5,     -0.8,  -0.4,   "5.3.4, Table 9"),
    ("QP_CURVE_P3_LOAD",        "B",   -1.0,     -1.0,  None,   "5.3.4, Table 9"),
    ("QP_CURVE_Q1_GEN",         "A",   0.0,      None,  None,   "5.3.4, Table 9"),
    ("QP_CURVE_Q1_GEN",         "B",   0.0,      None,  None,   "5.3.4, Table 9"),
    ("QP_CURVE_Q2_GEN",         "A",   0.0,      None,  None,   "5.3.4, Table 9"),
    ("QP_CURVE_Q2_GEN",         "B",   0.0,      None,  None,   "5.3.4, Table 9"),
    ("QP_CURVE_Q3_GEN",         "A",   -0.25,    None,  None,   "5.3.4, Table 9"),
    ("QP_CURVE_Q3_GEN",         "B",   -0.44,    None,  None,   "5.3.4, Table 9"),
    ("QP_CURVE_Q1_LOAD",        "A",   0.0,      None,  None,   "5.3.4, Table 9"),
    ("QP_CURVE_Q1_LOAD",        "B",   0.0,      None,  None,   "5.3.4, Table 9"),
    ("QP_CURVE_Q2_LOAD",        "A",   0.0,      None,  None,   "5.3.4, Table 9"),
    ("QP_CURVE_Q2_LOAD",        "B",   0.0,      None,  None,   "5.3.4, Table 9"),
    ("QP_CURVE_Q3_LOAD",        "A",   0.44,     None,  None,   "5.3.4, Table 9"),
    ("QP_CURVE_Q3_LOAD",        "B",   0.44,     None,  None,   "5.3.4, Table 9"),
    ("QP_RT",                   "B",   5.0,      0.5,   10.0,   "5.3.4: a quicker one would not settle"),
    ("CONST_Q",                 "B",   0.0,      None,  None,   "5.3.5, Table 33"),
    ("CONST_Q_RT",              "B",   5.0,      0.1,   10.0,   "5.3.5: the same as of the power factor"),
    ("PV_MODE_ENABLE",          "B",   False,    None,  None,   "5.4.2"),
    ("PV_CURVE_V1",             "B",   1.06,     1.05,  1.09,   "5.4.2, Table 10"),
    ("PV_CURVE_P1",             "B",   1.0,      1.0,   1.0,    "5.4.2, Table 10"),
    ("PV_CURVE_V2",             "B",   1.1,      None,  1.1,    "5.4.2, Table 10"),
    ("PV_CURVE_P2",             "B",   0.0,      -1.0,  1.0,    "5.4.2: P2 and P'2 are one setting"),
    ("PV_OLRT",                 "B",   10.0,     0.5,   60.0,   "5.4.2, Table 10"),
    ("OV2_TRIP_V",              "I",   1.2,      1.2,   1.2,    "6.4.1, Tables 11 (I), 12 (II), 13 (III)"),
    ("OV2_TRIP_V",              "II",  1.2,      1.2,   1.2,    "6.4.1, Tables 11 (I), 12 (II), 13 (III)"),
    ("OV2_TRIP_V",              "III", 1.2,      1.2,   1.2,    "6.4.1, Tables 11 (I), 12 (II), 13 (III)"),
    ("OV2_TRIP_T",              "I",   0.16,     0.16,  0.16,   "6.4.1, Tables 11 (I), 12 (II), 13 (III)"),
    ("OV2_TRIP_T",              "II",  0.16,     0.16,  0.16,   "6.4.1, Tables 11 (I), 12 (II), 13 (III)"),
    ("OV2_TRIP_T",              "III", 0.16,     0.16,  0.16,   "6.4.1, Tables 11 (I), 12 (II), 13 (III)"),
    ("OV1_TRIP_V",              "I",   1.1,      1.1,   1.2,    "6.4.1, Tables 11 (I), 12 (II), 13 (III)"),
    ("OV1_TRIP_V",              "II",  1.1,      1.1,   1.2,    "6.4.1, Tables 11 (I), 12 (II), 13 (III)"),
    ("OV1_TRIP_V",              "III", 1.1,      1.1,   1.2,    "6.4.1, Tables 11 (I), 12 (II), 13 (III)"),
    ("OV1_TRIP_T",              "I",   2.0,      1.0,   13.0,   "6.4.1, Tables 11 (I), 12 (II), 13 (III)"),
    ("OV1_TRIP_T",              "II",  2.0,      1.0,   13.0,   "6.4.1, Tables 11 (I), 12 (II), 13 (III)"),
    ("OV1_TRIP_T",              "III", 13.0,     1.0,   13.0,   "6.4.1, Tables 11 (I), 12 (II), 13 (III)"),
    ("UV1_TRIP_V",              "I",   0.7,      0.0,   0.88,   "6.4.1, Tables 11 (I), 12 (II), 13 (III)"),
    ("UV1_TRIP_V",              "II",  0.7,      0.0,   0.88,   "6.4.1, Tables 11 (I), 12 (II), 13 (III)"),
    ("UV1_TRIP_V",              "III", 0.88,     0.0,   0.88,   "6.4.1, Tables 11 (I), 12 (II), 13 (III)"),
    ("UV1_TRIP_T",              "I",   2.0,      2.0,   21.0,   "6.4.1, Tables 11 (I), 12 (II), 13 (III)"),
    ("UV1_TRIP_T",              "II",  10.0,     2.0,   21.0,   "6.4.1, Tables 11 (I), 12 (II), 13 (III)"),
    ("UV1_TRIP_T",              "III", 21.0,     2.0,   50.0,   "6.4.1: 1547a-2020: from 2 s"),
    ("UV2_TRIP_V",              "I",   0.45,     0.0,   0.5,    "6.4.1, Tables 11 (I), 12 (II), 13 (III)"),
    ("UV2_TRIP_V",              "II",  0.45,     0.0,   0.5,    "6.4.1, Tables 11 (I), 12 (II), 13 (III)"),
    ("UV2_TRIP_V",              "III", 0.5,      0.0,   0.5,    "6.4.1, Tables 11 (I), 12 (II), 13 (III)"),
    ("UV2_TRIP_T",              "I",   0.16,     0.16,  2.0,    "6.4.1, Tables 11 (I), 12 (II), 13 (III)"),
    ("UV2_TRIP_T",              "II",  0.16,     0.16,  2.0,    "6.4.1, Tables 11 (I), 12 (II), 13 (III)"),
    ("UV2_TRIP_T",              "III", 2.0,      0.16,  21.0,   "6.4.1: 1547a-2020: from 0.16 s"),
    ("MC_LVRT_V1",              "III", 0.5,      0.0,   0.88,   "6.4.2.7.3, 10.6.7, Table 36"),
    ("MC_HVRT_V1",              "III", 1.1,      1.1,   1.2,    "6.4.2.7.3, 10.6.7, Table 36"),
    ("OF2_TRIP_F",              "B",   62.0,     61.8,  66.0,   "6.5.1, Table 18"),
    ("OF2_TRIP_T",              "B",   0.16,     0.16,  1000.0, "6.5.1, Table 18"),
    ("OF1_TRIP_F",              "B",   61.2,     61.0,  66.0,   "6.5.1, Table 18"),
    ("OF1_TRIP_T",              "B",   300.0,    180.0, 1000.0, "6.5.1, Table 18"),
    ("UF1_TRIP_F",              "B",   58.5,     50.0,  59.0,   "6.5.1, Table 18"),
    ("UF1_TRIP_T",              "B",   300.0,    180.0, 1000.0, "6.5.1, Table 18"),
    ("UF2_TRIP_F",              "B",   56.5,     50.0,  57.0,   "6.5.1, Table 18"),
    ("UF2_TRIP_T",              "B",   0.16,     0.16,  1000.0, "6.5.1, Table 18"),
    ("PF_MODE_ENABLE",          "B",   True,     None,  None,   "6.5.2.7"),
    ("PF_DBOF",                 "I",   0.036,    0.017, 1.0,    "6.5.2.7, Table 24"),
    ("PF_DBOF",                 "II",  0.036,    0.017, 1.0,    "6.5.2.7, Table 24"),
    ("PF_DBOF",                 "III", 0.036,    0.017, 1.0,    "6.5.2.7, Table 24"),
    ("PF_DBUF",                 "I",   0.036,    0.017, 1.0,    "6.5.2.7, Table 24"),
    ("PF_DBUF",                 "II",  0.036,    0.017, 1.0,    "6.5.2.7, Table 24"),
    ("PF_DBUF",                 "III", 0.036,    0.017, 1.0,    "6.5.2.7, Table 24"),
    ("PF_KOF",                  "I",   0.05,     0.03,  0.05,   "6.5.2.7, Table 24"),
    ("PF_KOF",                  "II",  0.05,     0.03,  0.05,   "6.5.2.7, Table 24"),
    ("PF_KOF",                  "III", 0.05,     0.02,  0.05,   "6.5.2.7, Table 24"),
    ("PF_KUF",                  "I",   0.05,     0.03,  0.05,   "6.5.2.7, Table 24"),
    ("PF_KUF",                  "II",  0.05,     0.03,  0.05,   "6.5.2.7, Table 24"),
    ("PF_KUF",                  "III", 0.05,     0.02,  0.05,   "6.5.2.7, Table 24"),
    ("PF_OLRT",                 "I",   5.0,      1.0,   10.0,   "6.5.2.7, Table 24"),
    ("PF_OLRT",                 "II",  5.0,      1.0,   10.0,   "6.5.2.7, Table 24"),
    ("PF_OLRT",                 "III", 5.0,      0.2,   10.0,   "6.5.2.7, Table 24"),
    ("NP_MODE_TRANSITION_TIME", "B",   15.0,     5.0,   300.0,  "4.6.3: no default in the standard"),
]
# fmt: on


@pytest.mark.parametrize(
    ("name", "category", "default", "low", "high", "clause"), STANDARD, ids=[f"{r[0]} {r[1]}" for r in STANDARD]
)
def test_default_and_range(
    name: str, category: str, default: Any, low: float | None, high: float | None, clause: str
) -> None:
    field = BY_EPRI[name]
    if "low" not in field.metadata:
        assert field.default == default, clause
        return
    normal, abnormal = (category, "III") if category in "AB" else ("B", category)
    chosen, lowest, highest = range_of(field.metadata, normal, abnormal, 60.0)
    if default is not None:
        assert (field.default if chosen is None else chosen) == default, clause
    assert low in (None, lowest), clause
    assert high in (None, highest), clause

"""Traces: what is read, how a part is cut, and one clear line for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.sim.scenario import TraceError, builtin_names, load_builtin, load_trace, parse

COLUMNS = "allowed: t_s,f_hz or t_s,f_hz,v_pu or t_s,f_hz,v1_pu,v2_pu; then up to load_l1_w,load_l2_w,load_l3_w"
STYLE = "allowed: comma between columns, dot in numbers"

# fmt: off
MISTAKES = [
    # text                              line                                                           why
    ("",                                f"x.csv:1: no header; {COLUMNS}",                              "empty"),
    ("# only a remark\n\n",             f"x.csv:1: no header; {COLUMNS}",                              "remarks only"),
    ("t_s,f_hz\n",                      "x.csv:1: 0 rows; allowed: two or more",                       "no rows"),
    ("t_s,f_hz\n0,50\n",                "x.csv:2: 1 rows; allowed: two or more",                       "one row"),
    ("t_s,freq\n0,50\n1,50\n",          f"x.csv:1: columns t_s,freq; {COLUMNS}",                       "unknown"),
    ("f_hz,t_s\n50,0\n50,1\n",          f"x.csv:1: columns f_hz,t_s; {COLUMNS}",                       "order"),
    ("t_s,f_hz,v1_pu\n0,50,1\n",        f"x.csv:1: columns t_s,f_hz,v1_pu; {COLUMNS}",                 "half a pair"),
    ("t_s,f_hz,load_l2_w\n0,50,1\n",   f"x.csv:1: columns t_s,f_hz,load_l2_w; {COLUMNS}",             "L2 without L1"),
    ("t_s,load_l1_w,f_hz\n0,50,1\n",   f"x.csv:1: columns t_s,load_l1_w,f_hz; {COLUMNS}",             "load between"),
    ("t_s,f_hz,load_l1_w\n0,50,2e6\n", "x.csv:2: load_l1_w = 2e6 is out of range; allowed: -1e+06 ... 1e+06", "MW"),
    ("0,50\n1,50\n",                    f"x.csv:1: columns 0,50; {COLUMNS}",                           "no names"),
    ("t_s;f_hz\n0;50\n",                f"x.csv:1: columns are not separated by commas; {STYLE}",      "semicolons"),
    ("t_s,f_hz\n0,0,50,01\n",           f"x.csv:2: 4 values for 2 columns; {STYLE}",                   "decimal comma"),
    ("t_s,f_hz\n0\n",                   f"x.csv:2: 1 values for 2 columns; {STYLE}",                   "short row"),
    ("t_s,f_hz\n# a\n0,fifty\n",        "x.csv:3: f_hz = 'fifty' is not a number; allowed: 40 ... 70", "a word"),
    ("t_s,f_hz\n0,\n",                  "x.csv:2: f_hz = '' is not a number; allowed: 40 ... 70",      "a hole"),
    ("t_s,f_hz\n0,nan\n",               "x.csv:2: f_hz = nan is out of range; allowed: 40 ... 70",     "nan"),
    ("t_s,f_hz\n0,1.0\n",               "x.csv:2: f_hz = 1.0 is out of range; allowed: 40 ... 70",     "per unit"),
    ("t_s,f_hz,v_pu\n0,50,230\n",       "x.csv:2: v_pu = 230 is out of range; allowed: 0 ... 2",       "volts"),
    ("t_s,f_hz\n0,50\n1,50\n1,50\n",    "x.csv:4: t_s = 1 after 1; allowed: rising times",             "time stands"),
    ("t_s,f_hz\n1,50\n0.5,50\n",        "x.csv:3: t_s = 0.5 after 1; allowed: rising times",           "time falls"),
]
# fmt: on


@pytest.mark.parametrize(("text", "line", "why"), MISTAKES, ids=[c[-1] for c in MISTAKES])
def test_one_line_says_where_what_and_what_is_allowed(text: str, line: str, why: str) -> None:
    with pytest.raises(TraceError) as caught:
        parse("x.csv", text)
    assert str(caught.value) == line


def test_files_that_are_not_text_or_not_there(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="No such file"):
        load_trace(tmp_path / "absent.csv")
    (tmp_path / "x.csv").write_bytes("t_s,f_hz".encode("utf-16"))
    with pytest.raises(TraceError, match="is not UTF-8 text"):
        load_trace(tmp_path / "x.csv")


def test_byte_order_mark_remarks_blanks_and_windows_line_ends(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_bytes(b"\xef\xbb\xbf# remark\r\nt_s, f_hz\r\n0, 49.5\r\n\r\n# remark\r\n1, 49.6\r\n")
    trace = load_trace(file)
    assert (trace.t_s, trace.f_hz) == ((0.0, 1.0), (49.5, 49.6))


# fmt: off
VOLTAGES = [
    # text                                         v1          v2          why
    ("t_s,f_hz\n0,50\n1,50",                       (1.0, 1.0), (1.0, 1.0), "none: nominal"),
    ("t_s,f_hz,v_pu\n0,50,0.9\n1,50,1.1",          (0.9, 1.1), (0.9, 1.1), "one: for both"),
    ("t_s,f_hz,v1_pu,v2_pu\n0,50,0.9,1\n1,50,1,2", (0.9, 1.0), (1.0, 2.0), "two: each its own"),
]
# fmt: on


@pytest.mark.parametrize(("text", "v1", "v2", "why"), VOLTAGES, ids=[c[-1] for c in VOLTAGES])
def test_voltage_columns(text: str, v1: tuple[float, ...], v2: tuple[float, ...], why: str) -> None:
    trace = parse("x", text)
    assert (trace.v1_pu, trace.v2_pu) == (v1, v2)


# fmt: off
LOADS = [
    # text                                                            loads, one column a phase               why
    ("t_s,f_hz\n0,50\n1,50",                                          (),                                     "none"),
    ("t_s,f_hz,load_l1_w\n0,50,300\n1,50,2500",                       ((300.0, 2500.0),),                     "L1"),
    ("t_s,f_hz,v_pu,load_l1_w,load_l2_w,load_l3_w\n0,50,1,1,2,3\n1,50,1,4,5,6", ((1, 4), (2, 5), (3, 6)),      "three"),
]
# fmt: on


@pytest.mark.parametrize(("text", "loads", "why"), LOADS, ids=[c[-1] for c in LOADS])
def test_load_columns(text: str, loads: tuple[tuple[float, ...], ...], why: str) -> None:
    trace = parse("x", text)
    assert trace.load_w == loads
    assert trace.v1_pu == trace.v2_pu == (1.0, 1.0)
    assert trace.cut(0.5).load_w == tuple(((a + b) / 2, b) for a, b in loads)


RAMP = parse("ramp", "t_s,f_hz\n10,50\n12,49\n14,48\n")


def test_a_cut_starts_at_0_and_its_ends_lie_on_the_line() -> None:
    part = RAMP.cut(1.0, 2.0)
    assert part.t_s == (0.0, 1.0, 2.0)
    assert part.f_hz == pytest.approx((49.5, 49.0, 48.5))


def test_without_a_duration_a_cut_goes_to_the_end() -> None:
    assert RAMP.cut(3.0).t_s == (0.0, 1.0)
    assert RAMP.cut().f_hz == RAMP.f_hz


@pytest.mark.parametrize(("start_s", "duration_s"), [(-1.0, 1.0), (4.0, None), (0.0, 5.0), (0.0, 0.0), (3.0, 2.0)])
def test_a_cut_outside_the_trace_is_refused(start_s: float, duration_s: float | None) -> None:
    with pytest.raises(TraceError, match=r"ramp: .* allowed: a part of its 4 s"):
        RAMP.cut(start_s, duration_s)


@pytest.mark.parametrize(("f_hz", "f_nom_hz"), [(49.0, 50.0), (54.9, 50.0), (55.1, 60.0), (60.5, 60.0)])
def test_nominal_frequency_is_the_nearer_one(f_hz: float, f_nom_hz: float) -> None:
    assert parse("x", f"t_s,f_hz\n0,{f_hz}\n1,{f_hz}").f_nom_hz == f_nom_hz


def test_the_gb_event_has_the_published_corners() -> None:
    trace = load_builtin("gb_2019-08-09")
    assert trace.f_nom_hz == 50.0
    assert min(trace.f_hz) == pytest.approx(48.8, abs=0.005)
    assert trace.cut(85.0, 0.2).f_hz[0] == pytest.approx(49.1, abs=0.02)  # 25 s after the fault


def test_an_unknown_scenario_names_the_known_ones() -> None:
    with pytest.raises(TraceError, match=r"nosuch: no such scenario; allowed: .*gb_2019-08-09"):
        load_builtin("nosuch")
    assert "gb_2019-08-09" in builtin_names()

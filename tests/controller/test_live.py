"""The terminal view: every number of the brief, inside its width, readable without colour, one line for a pipe."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import pytest
from rich.console import Console

from controller.live import LiveSnapshot, build, bus_text, graph, is_plain, plain_line, render
from tests.controller.response.synthetic import GB_LIKE, Plant, info, run

PLANT = Plant(GB_LIKE, seconds=60.0)
ROWS = run(PLANT)
# fmt: off
BUS = {
    "meter": {"answers": 520, "timeouts": 2, "exceptions": 0, "bad_frames": 1, "reconnects": 1},
    "inverter": {"answers": 260, "timeouts": 0, "exceptions": 0, "bad_frames": 0, "reconnects": 0,
                 "writes": 31, "write_errors": 4, "spent": 77, "held": 5, "budget": 100},
}
# fmt: on
CAN = {
    "answers": 9,
    "timeouts": 1,
    "bad_frames": 2,
    "reconnects": 0,
    "bus_off": 3,
    "error_frames": 12,
    "writes": 8,
    "write_errors": 1,
}  # fmt: skip
TELEMETRY = {
    "sent": 48, "acknowledged": 46, "waiting": 2, "delivery": "mqtt 127.0.0.1:1883", "connected": True, "bus": BUS,
}  # fmt: skip


def snapshot(rows: int = 2600) -> LiveSnapshot:
    return build(ROWS[:rows], info(PLANT), TELEMETRY, rows * 0.02, 60.0, title="GB 2019", broker="demo broker (amqtt)")


def text(s: LiveSnapshot, width: int) -> str:
    out = io.StringIO()
    Console(width=width, file=out, force_terminal=False, color_system=None).print(render(s, width))
    return out.getvalue()


@pytest.mark.parametrize("width", [60, 80, 110, 160])
def test_everything_is_there_within_the_width(width: int) -> None:
    picture = text(snapshot(), width)
    assert max(len(line) for line in picture.splitlines()) <= width
    for wanted in ("DEMO", "synthetic", "GB 2019", "52 of 60 s", "59.362 Hz", "1.000 pu", "+1313 W", "55.0 %", "2599",
                   "deadlines skipped", "60 ms", "120 ms", "48", "46", "demo broker (amqtt)",
                   "outside the dead band"):  # fmt: skip
        assert wanted in picture


@pytest.mark.parametrize(("width", "most"), [(80, 24), (160, 24)])
def test_it_fits_the_smallest_terminal_whatever_happens(width: int, most: int) -> None:
    crowded = replace(
        snapshot(), reasons=("one long reason after another",) * 9, bus=BUS | {"inverter": BUS["inverter"] | CAN}
    )
    assert len(text(crowded, width).splitlines()) <= most


def test_what_the_buses_have_counted() -> None:
    lines = [line.strip("\N{BOX DRAWINGS LIGHT VERTICAL} ") for line in text(snapshot(), 140).splitlines()]
    assert "meter: 520 answers, 3 failed, 1 reconnects" in lines
    inverter = "77 of the day's 100 set-points, 5 held back; 31 written, 4 failed; 260 answers, 0 failed, 0 reconnects"
    assert f"inverter: {inverter}" in lines
    assert bus_text("inverter", CAN) == (
        "inverter: 8 written, 1 failed; 9 answers, 3 failed, 0 reconnects; bus-off 3 times, 12 error frames"
    )


def test_no_background_is_painted() -> None:
    out = io.StringIO()
    Console(width=80, file=out, force_terminal=True, color_system="truecolor").print(render(snapshot(), 80))
    codes = [c for part in out.getvalue().split("\x1b[")[1:] for c in part.split("m")[0].split(";")]
    assert not [c for c in codes if c in {*(str(n) for n in range(40, 48)), "48", *(str(n) for n in range(100, 108))}]


def test_before_anything_is_known() -> None:
    first = ROWS[:1].copy()
    first["m_f_hz"], first["m_p_w"], first["d_soc_pu"], first["v_pu"] = (math.nan,) * 4
    s = build(first, info(PLANT), {}, 0.0)
    assert "no telemetry yet" in text(s, 80)
    assert "nan" not in text(s, 80) + plain_line(s)


def test_one_line_for_a_pipe() -> None:
    line = plain_line(snapshot())
    assert "\n" not in line
    assert line.startswith("DEMO 52/60 s  f 59.362 Hz  V 1.000 pu  droop +1313 W  P ")
    assert line.endswith(
        "SoC 55.0 %  step 2599  skipped 0  age 60/120 ms  failed requests 3/0  telemetry 48 sent 46 acknowledged"
    )
    assert "failed requests \N{EN DASH}  telemetry" in plain_line(replace(snapshot(), bus={})), "not known yet"


def test_a_pipe_is_plain() -> None:
    assert is_plain(io.StringIO())


def test_history_is_a_minute_on_an_even_grid() -> None:
    s = snapshot(500)  # 10 s of 60
    known = [not math.isnan(f) for f in s.f_history_hz]
    assert len(known) == 240
    assert sum(known) == pytest.approx(240 * 10 / 60, abs=1)
    assert known[-1]
    assert not known[0]


# fmt: off
GRAPHS = [
    # values                   low  high  rows (top first)  why
    ([0.0, 1.0],               0.0, 1.0,  ["\u2581\u2588"], "lowest is one eighth, highest is full"),
    ([math.nan, 1.0],          0.0, 1.0,  [" \u2588"],      "unknown stays empty"),
    ([5.0, -5.0],              0.0, 1.0,  ["\u2588\u2581"], "beyond the scale is cut"),
    ([3.0],                    3.0, 3.0,  [" \u2581"],      "no span, and older columns empty"),
]
# fmt: on


@pytest.mark.parametrize(("values", "low", "high", "lines", "why"), GRAPHS, ids=[c[4] for c in GRAPHS])
def test_graph(values: list[float], low: float, high: float, lines: list[str], why: str) -> None:
    assert graph(values, 2, 1, low, high) == lines, why


@pytest.mark.parametrize("width", [60, 80, 160])
def test_an_unverified_profile_stands_in_the_header(width: int) -> None:
    s = build(ROWS[:2600], info(PLANT, unverified="iso-ne-2021"), TELEMETRY, 52.0)
    assert "unverified profile iso-ne-2021" in text(s, width).splitlines()[0]
    assert plain_line(s).startswith("DEMO UNVERIFIED PROFILE iso-ne-2021 52 s")
    assert "unverified" not in text(snapshot(), width)

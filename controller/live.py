"""The run in the terminal: one snapshot in, one picture out. Pure; the caller owns the screen and the pace.

build()        newest step records + telemetry.json + progress -> LiveSnapshot
render()       LiveSnapshot -> a rich renderable, for 60 columns and more; the terminal's own colours, no background
plain_line()   the same as one line of text, for a pipe or a log (is_plain() says when)
Power is shown as everywhere: + = out of the inverter into the grid. rich is imported nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cython_core.records import Reason, State, reasons_text

NAN = float("nan")
HISTORY_S = 60.0
HISTORY_POINTS = 240
EMPTY = "\N{EN DASH}"
# eighths of a character cell, from the bottom
BLOCKS = " \u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
GRAPH_ROWS = 4
WIDE = 110  # from here the two graphs stand side by side
# bits that are no news while the frequency is outside
ORDINARY = Reason.DEFAULT_WISH | Reason.SKIPPED


@dataclass(frozen=True, slots=True)
class LiveSnapshot:
    """Everything one picture needs. NaN: not known yet."""

    site: str
    start_mode: str
    unverified: str  # the profile's name when it is unverified
    title: str
    elapsed_s: float
    duration_s: float  # NaN: no end is set
    n: int
    state: str
    f_hz: float
    f_low_hz: float  # edges of the dead band
    f_high_hz: float
    v_pu: float
    dp_w: float
    p_cmd_w: float
    p_w: float
    soc_pu: float
    age_f_ms: float
    age_device_ms: float
    lateness_us: float
    skipped: int
    reasons: tuple[str, ...]
    broker: str
    connected: bool
    sent: int
    acknowledged: int
    waiting: int
    f_history_hz: tuple[float, ...]
    p_history_w: tuple[float, ...]
    bus: Mapping[str, Mapping[str, Any]]  # counters of each device, as in the live frame; may be empty


def is_plain(stream: TextIO) -> bool:
    """A pipe, or a terminal that cannot show the blocks: write plain_line() there."""
    return not stream.isatty() or "utf" not in (stream.encoding or "").lower()


def build(
    history: NDArray[Any], info: Mapping[str, Any], telemetry: Mapping[str, Any], elapsed_s: float,
    duration_s: float = NAN, title: str = "", broker: str = "",
) -> LiveSnapshot:  # fmt: skip
    """history: step records of the last minute, newest last, at least one. telemetry: telemetry.json, may be empty."""
    r = history[-1]
    rating, droop = info["settings"].get("rating", {}), info["settings"].get("freq_droop", {})
    f_nom = float(rating.get("f_nom_hz", 60.0))
    power = np.where(np.isfinite(history["m_p_w"]), history["m_p_w"], history["d_p_w"])
    if info.get("meter_location", "inverter") != "inverter":
        power = history["d_p_w"]
    return LiveSnapshot(
        site=str(info.get("site", "")),
        start_mode=str(info.get("start_mode", "")),
        unverified=str(info.get("unverified") or ""),
        title=title,
        elapsed_s=elapsed_s,
        duration_s=duration_s,
        n=int(r["n"]),
        state=State(int(r["state"])).name.lower().replace("_", " "),
        f_hz=float(r["m_f_hz"]),
        f_low_hz=f_nom - float(droop.get("db_uf_hz", 0.036)),
        f_high_hz=f_nom + float(droop.get("db_of_hz", 0.036)),
        v_pu=float(r["v_pu"]),
        dp_w=float(r["dp_w"]),
        p_cmd_w=float(r["p_cmd_w"]),
        p_w=float(power[-1]),
        soc_pu=float(r["d_soc_pu"]),
        age_f_ms=float(r["age_f_ns"]) / 1e6,
        age_device_ms=float(r["age_d_ns"]) / 1e6,
        lateness_us=float(r["lateness_ns"]) / 1e3,
        skipped=int(r["skipped"]),
        reasons=tuple(reasons_text(int(r["reasons"]) & ~int(ORDINARY))),
        broker=broker or str(telemetry.get("delivery", "")),
        connected=bool(telemetry.get("connected", False)),
        sent=int(telemetry.get("sent", 0)),
        acknowledged=int(telemetry.get("acknowledged", 0)),
        waiting=int(telemetry.get("waiting", 0)),
        f_history_hz=_last_minute(history["t_ns"], history["m_f_hz"]),
        p_history_w=_last_minute(history["t_ns"], power),
        bus=telemetry.get("bus") or {},
    )


def render(s: LiveSnapshot, width: int) -> RenderableType:
    """The whole picture, at most `width` columns wide."""
    inner = max(width - 4, 20)
    parts: list[RenderableType] = [_progress(s, inner), Text(), _numbers(s, inner), _graphs(s, inner)]
    return Panel(Group(*parts, _why(s)), title=_title(s), title_align="left", width=width, padding=(0, 1))


def plain_line(s: LiveSnapshot) -> str:
    """One line, for a pipe: the same numbers in a fixed order."""
    mode = s.start_mode.upper() + (f" UNVERIFIED PROFILE {s.unverified}" if s.unverified else "")
    time = f"{s.elapsed_s:.0f}" + (f"/{s.duration_s:.0f}" if math.isfinite(s.duration_s) else "") + " s"
    return (
        f"{mode} {time}  f {_n(s.f_hz, '.3f')} Hz  V {_n(s.v_pu, '.3f')} pu  droop {_n(s.dp_w, '+.0f')} W  "
        f"P {_n(s.p_w, '+.0f')} W  SoC {_n(100.0 * s.soc_pu, '.1f')} %  step {s.n}  skipped {s.skipped}  "
        f"age {_n(s.age_f_ms, '.0f')}/{_n(s.age_device_ms, '.0f')} ms  "
        f"failed requests {'/'.join(str(failed(counts)) for counts in s.bus.values()) or EMPTY}  "
        f"telemetry {s.sent} sent {s.acknowledged} acknowledged"
    )


def graph(values: Sequence[float], columns: int, rows: int, low: float, high: float) -> list[str]:
    """A bar graph of block characters, newest value at the right; a value that is not known leaves its column empty."""
    recent = [values[int(i)] for i in np.linspace(0, len(values) - 1, min(columns, len(values)))] if values else []
    span = high - low if high > low else 1.0
    heights = [
        round((min(max(v, low), high) - low) / span * (rows * 8 - 1)) + 1 if math.isfinite(v) else 0 for v in recent
    ]
    return [
        "".join(BLOCKS[min(max(h - 8 * row, 0), 8)] for h in heights).rjust(columns) for row in reversed(range(rows))
    ]


def _title(s: LiveSnapshot) -> Text:
    title = Text(" V2G controller ", style="bold")
    if s.start_mode:
        title.append(f" {s.start_mode.upper()} ", style="bold reverse" if s.start_mode == "demo" else "bold")
    if s.unverified:
        title.append(f" unverified profile {s.unverified} ", style="bold reverse")
    return title.append(f" {s.site} " if s.site else " ")


def _progress(s: LiveSnapshot, width: int) -> RenderableType:
    if not math.isfinite(s.duration_s):
        return Text(f"{s.title}  {s.elapsed_s:.0f} s".strip(), no_wrap=True, overflow="ellipsis")
    time = f"{min(s.elapsed_s, s.duration_s):.0f} of {s.duration_s:.0f} s"
    grid = Table.grid(padding=(0, 2), expand=False)
    label = f"{s.title}  {time}".strip()
    bar = ProgressBar(
        total=s.duration_s, completed=min(s.elapsed_s, s.duration_s), width=max(width - len(label) - 2, 8)
    )
    grid.add_row(Text(label, no_wrap=True, overflow="ellipsis"), bar)
    return grid


def _numbers(s: LiveSnapshot, width: int) -> RenderableType:
    """Two columns of figures, or four where there is room."""
    outside = not s.f_low_hz <= s.f_hz <= s.f_high_hz and math.isfinite(s.f_hz)
    cells: list[tuple[str, str, str]] = [
        ("frequency", f"{_n(s.f_hz, '.3f')} Hz", "bold magenta" if outside else "bold"),
        ("power measured", f"{_n(s.p_w, '+.0f')} W", "bold"),
        ("droop answer", f"{_n(s.dp_w, '+.0f')} W", "bold magenta" if outside else ""),
        ("power commanded", f"{_n(s.p_cmd_w, '+.0f')} W", ""),
        ("voltage", f"{_n(s.v_pu, '.3f')} pu", ""),
        ("state of charge", f"{_n(100.0 * s.soc_pu, '.1f')} %", ""),
        ("age of frequency", f"{_n(s.age_f_ms, '.0f')} ms", ""),
        ("age of inverter", f"{_n(s.age_device_ms, '.0f')} ms", ""),
        ("step", f"{s.n}", ""),
        ("deadlines skipped", f"{s.skipped}", "magenta" if s.skipped else ""),
        ("telemetry sent", f"{s.sent}", ""),
        ("acknowledged", f"{s.acknowledged}", "magenta" if s.waiting > 10 else ""),
    ]
    columns = 4 if width >= WIDE else 2
    grid = Table.grid(padding=(0, 1), expand=True)
    for _ in range(columns):
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(justify="right", no_wrap=True)
        grid.add_column(ratio=1)
    for i in range(0, len(cells), columns):
        row: list[RenderableType] = []
        for name, value, style in cells[i : i + columns]:
            row += [name, Text(value, style=style), ""]
        grid.add_row(*row)
    return grid


def _graphs(s: LiveSnapshot, width: int) -> RenderableType:
    """Frequency and power of the last minute."""
    side_by_side = width >= WIDE
    columns = ((width - 4) // 2 if side_by_side else width) - 11
    f_low = min([f for f in s.f_history_hz if math.isfinite(f)] + [s.f_low_hz])
    f_high = max([f for f in s.f_history_hz if math.isfinite(f)] + [s.f_high_hz])
    p_known = [p for p in s.p_history_w if math.isfinite(p)]
    p_low, p_high = (min(p_known), max(p_known)) if p_known else (0.0, 1.0)
    middle = (p_low + p_high) / 2.0
    p_low, p_high = min(p_low, middle - 50.0), max(p_high, middle + 50.0)  # noise must not look like an answer
    pair = (
        _graph("frequency, Hz, last 60 s", s.f_history_hz, columns, f_low, f_high, ".3f", "cyan"),
        _graph("power, W, last 60 s", s.p_history_w, columns, p_low, p_high, "+.0f", "green"),
    )
    if not side_by_side:
        return Group(*pair)
    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_row(*pair)
    return grid


def _graph(
    name: str, values: Sequence[float], columns: int, low: float, high: float, form: str, style: str
) -> RenderableType:
    text = Text(f"{name}\n", style="dim")
    lines = graph(values, columns, GRAPH_ROWS, low, high)
    for i, line in enumerate(lines):
        label = format(high, form) if i == 0 else format(low, form) if i == len(lines) - 1 else ""
        text.append(f"{label:>9} ", style="dim")
        text.append(line + ("\n" if i < len(lines) - 1 else ""), style=f"not dim {style}")
    return text


def _why(s: LiveSnapshot) -> RenderableType:
    """State, reasons and where telemetry goes: words, so that colour says nothing alone."""
    why = "; ".join(s.reasons) if s.reasons else "frequency is inside the dead band: the wish is followed"
    where = s.broker or "no telemetry yet"
    if s.broker and not s.connected:
        where += " (not connected)"
    late = f"lateness {_n(s.lateness_us, '.0f')} µs"
    text = Text(f"{s.state}: ", style="bold", no_wrap=True, overflow="ellipsis")  # the picture keeps its height
    text.append(why, style="not bold")
    below = [f"{where}; {s.waiting} waiting; {late}", *(bus_text(role, counts) for role, counts in s.bus.items())]
    return Group(text, *(Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in below))


def failed(counts: Mapping[str, Any]) -> int:
    """Requests of one device that had no good answer; of CAN: frames that did not come, or were bad."""
    return sum(counts.get(name, 0) for name in ("timeouts", "exceptions", "bad_frames"))


def bus_text(role: str, counts: Mapping[str, Any]) -> str:
    """What one device's bus has counted: first what is worth most to a reader, as a narrow terminal cuts the rest."""
    found = []
    if "budget" in counts:
        found.append(f"{counts['spent']} of the day's {counts['budget']} set-points, {counts['held']} held back")
    if role == "inverter":
        found.append(f"{counts['writes']} written, {counts['write_errors']} failed")
    found.append(f"{counts['answers']} answers, {failed(counts)} failed, {counts['reconnects']} reconnects")
    if counts.get("bus_off") or counts.get("error_frames"):
        found.append(f"bus-off {counts['bus_off']} times, {counts['error_frames']} error frames")
    return f"{role}: {'; '.join(found)}"


def _n(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else EMPTY


def _last_minute(t_ns: NDArray[Any], values: NDArray[Any]) -> tuple[float, ...]:
    """HISTORY_POINTS values on an even grid over the last minute, the newest at its end; NaN before the first."""
    at_ns = t_ns[-1] - np.linspace(HISTORY_S * 1e9, 0.0, HISTORY_POINTS).astype(np.int64)
    row = np.searchsorted(t_ns, at_ns, side="right") - 1
    return tuple(np.where(row >= 0, values[row], np.nan).tolist())

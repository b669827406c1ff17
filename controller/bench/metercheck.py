"""Source and meter against each other: a source that is off, a meter that is frozen, readings that are missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from controller.bench.accuracy import STANDARD
from controller.bench.plan import Eut
from controller.bench.record import SAMPLE, CaseRecord
from controller.bench.seen import GAP_SAMPLES, VISIBLE_PU, Floats, Rows, Seen, new_readings

IN_A_ROW = 3  # readings: a meter that averages lags by one or two, a spike is one
SETTLE_CYCLES, STEADY_CYCLES = 5, 60  # windows of the accuracies: transient, and steady frequency
FROZEN_READINGS, FROZEN_S = 20, 5.0
LATE_S = 0.5  # how old the meter's newest reading may be when a step ends
MEASURED = tuple(n for n in SAMPLE.names or () if n != "t_ns" and not n.startswith("set_"))


def phases(eut: Eut) -> range:
    return range(1, eut.phases + 1)


def visible(rows: Rows, eut: Eut) -> NDArray[np.bool_]:
    """The source is told to give more than next to nothing."""
    return np.asarray(np.any([rows[f"set_v{k}_v"] > VISIBLE_PU * eut.v_nom_v for k in phases(eut)], axis=0))


def source_off(eut: Eut, seen: Mapping[str, Seen]) -> Iterator[str]:
    """Measured against told, with the accuracy of the window that the time since arrival allows."""
    for name, one in seen.items():
        cycles = one.t_s * eut.f_nom_hz
        settled, steady = cycles > SETTLE_CYCLES, cycles > STEADY_CYCLES
        for quantity in (*(f"v{k}_v" for k in phases(eut)), "f_hz"):
            is_f = quantity == "f_hz"
            exact = STANDARD.f_hz if is_f else STANDARD.v_pu * eut.v_nom_v
            loose = STANDARD.f_transient_hz if is_f else STANDARD.v_transient_pu * eut.v_nom_v
            counts = settled & (visible(one.rows, eut) if is_f else True)
            off = np.abs(one.rows[quantity] - one.rows[f"set_{quantity}"])
            at = first_in_a_row(counts & (off > np.where(steady, exact, loose)))
            if first_in_a_row(np.isnan(off) & steady & visible(one.rows, eut)) is not None:
                yield f"step {name}: the source is off, for all that is known: {quantity} is not measured"
            elif at is not None:
                row, limit = one.rows[at], exact if steady[at] else loose
                yield (
                    f"step {name}: the source is off: {quantity} {row[quantity]:.3f} is measured, "
                    f"{row[f'set_{quantity}']:.3f} was set, {limit:g} apart is the most"
                )


def first_in_a_row(found: NDArray[np.bool_]) -> int | None:
    """Index of the first of so many in a row; None: nowhere."""
    runs = np.convolve(found, np.ones(IN_A_ROW, int), "valid") if len(found) >= IN_A_ROW else np.zeros(0)
    at = np.flatnonzero(runs == IN_A_ROW)
    return int(at[0]) if len(at) else None


def frozen_meter(eut: Eut, record: CaseRecord) -> Iterator[str]:
    """Bit-identical values although the source moved, or for too long; without voltage there is nothing to see."""
    rows = record.samples
    if not len(rows) or not record.events:
        return
    new_ns = np.unique(rows["t_ns"])
    refresh_s = float(np.median(np.diff(new_ns))) / 1e9 if len(new_ns) > 1 else 0.0
    most_s = max(FROZEN_READINGS * refresh_s, FROZEN_S)
    ends_ns = np.append(rows["t_ns"], max(record.events[-1].t_ns, int(rows["t_ns"][-1])))
    for begin, end in equal_runs(rows):
        run = rows[begin:end]
        lasts_s = (ends_ns[end] - ends_ns[begin]) / 1e9
        if not visible(run, eut).any():
            continue
        if moved_within(run, eut):
            yield f"the meter is frozen: {len(run)} equal readings although the source moved"
        elif len(run) >= FROZEN_READINGS and lasts_s > most_s:
            yield f"the meter is frozen: {len(run)} equal readings in {lasts_s:.3f} s"


def equal_runs(rows: Rows) -> Iterator[tuple[int, int]]:
    """[begin, end) of each run of IN_A_ROW rows or more whose measured values are all the same bits."""
    values = np.stack([rows[n] for n in MEASURED], axis=1).view(np.int64)
    starts = np.flatnonzero(np.any(np.diff(values, axis=0, prepend=~values[:1]) != 0, axis=1))
    ends = np.append(starts[1:], len(rows))
    long = ends - starts >= IN_A_ROW
    yield from zip(starts[long].tolist(), ends[long].tolist(), strict=True)


def moved_within(run: Rows, eut: Eut) -> bool:
    """The meter has taken new readings since the source moved by more than the meter's accuracy."""
    volts = [np.abs(run[f"set_v{k}_v"] - run[f"set_v{k}_v"][0]) > STANDARD.mra(eut, "v_v") for k in phases(eut)]
    moved = np.any([*volts, np.abs(run["set_f_hz"] - run["set_f_hz"][0]) > STANDARD.f_hz], axis=0)
    return len(np.unique(run["t_ns"][moved])) >= IN_A_ROW


def missing_readings(record: CaseRecord, seen: Mapping[str, Seen]) -> Iterator[str]:
    """Rows that are not there. A meter that repeats itself is there: its time without news counts by its rows."""
    rows = record.samples
    new = new_readings(rows)["t_ns"]
    counts = np.diff(np.flatnonzero(np.diff(rows["t_ns"], prepend=-1)), append=len(rows))
    for name, one in seen.items():
        if not len(new):
            yield f"step {name}: no reading at all"
            continue
        gap_s, at_s = longest_gap(new, counts, one)
        if gap_s > GAP_SAMPLES * one.step.sample_s:
            yield (
                f"step {name}: samples are missing: {gap_s:.3f} s without one {at_s:.3f} s after arrival, "
                f"one every {one.step.sample_s:g} s was planned"
            )


def longest_gap(new_ns: NDArray[np.int64], counts: NDArray[np.int64], one: Seen) -> tuple[float, float]:
    """(longest time between two samples, when it begins) of a step, s."""
    first = max(int(np.searchsorted(new_ns, one.arrived_ns, "right")) - 1, 0)
    last = max(int(np.searchsorted(new_ns, one.end_ns, "right")), first + 1)
    begins = np.maximum(new_ns[first:last], one.arrived_ns)
    ends = np.append(new_ns[first + 1 : last], max(one.end_ns - round(LATE_S * 1e9), int(begins[-1])))
    gaps_s: Floats = (ends - begins) / 1e9 / counts[first:last]
    worst = int(np.argmax(gaps_s))
    return float(gaps_s[worst]), float(begins[worst] - one.arrived_ns) / 1e9

"""Frames: step records -> one live frame per window, and events. Pure; time comes from the records.

Window   whole multiples of window_ms of wall time (offset + t_ns), so that the same records always make the same
         frames; a record of the next window closes the one before.
run      the core's run, as in its ring and journal; epoch: the stretch of wall time, see wallclock.py. Often the same.
Units    in the names; P and Q: + = out of the inverter into the grid. t_ms: source time, Unix ms. Absent is null.
P, Q     measured: the meter's when it sits at the inverter's terminals, else the inverter's own.
Stale    what is older than "held" is null: a frozen number would pass for a measurement.
Refresh  of the meter, measured: from one change of its readings to the next, no shorter than its poll.
Events   start, end (every step up to it is in a frame), clock, overrun, settings, state, reasons, lost,
         frequency_begin/_end, voltage_begin/_end, session_begin/_end, energy_reset (a device's counter has fallen),
         oscillography (names its file): each at its own step and time.
Energy   e_*: counters (energy.py); energy_out_wh, energy_in_wh: of this window alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.telemetry.energy import Energy
from controller.telemetry.wire import VERSION, Draft
from cython_core.records import Freshness, Measurement, Mode, Reason, State

Records = NDArray[Any]
Values = NDArray[np.float64]

SIGN = "+ = out of the inverter into the grid"
NEVER_NS = 10**18  # 30 years; the core gives what was never measured an age above
QUIET_NS = 2_000_000_000  # a grid event ends when its reason has been absent this long
MAX_TRANSITIONS = 8  # of one kind in one window; the last one says how many more there were
NOT_EVENTS = int(Reason.SKIPPED)  # counted in every frame
OF_RUN = (
    *("build", "boot_id", "settings_digest", "period_ns", "realtime", "meter_turnaround_ms", "meter_reads"),
    *("writes", "plant_card"),
)
READINGS = [f"m_{f.name}" for f in fields(Measurement) if f.name.endswith(("_hz", "_v", "_w", "_var", "_a"))]
SIGNALS = (("frequency", int(Reason.DROOP), "f_hz"), ("voltage", int(Reason.VOLT_VAR), "v_pu"))


@dataclass(slots=True)
class GridEvent:
    """An answer to the grid that is going on."""

    n_begin: int
    t_begin_ns: int
    n_end: int
    t_end_ns: int
    low: float
    high: float


@dataclass(slots=True)
class Carry:
    """What one window hands to the next. Kept in the outbox, so that a restart neither repeats nor skips."""

    n_last: int = -1
    t_last_ns: int = 0
    state: int = -1
    reasons: int = 0
    going_on: dict[str, GridEvent] = field(default_factory=dict)
    epoch: int = -1
    offset_ns: int = 0
    settings_digest: int = -1
    energy: Energy = field(default_factory=Energy)

    def to_dict(self) -> dict[str, Any]:
        """As JSON may hold it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Carry:
        """The reverse of to_dict."""
        events = {name: GridEvent(**event) for name, event in stored["going_on"].items()}
        known = {f.name: stored[f.name] for f in fields(cls) if f.name in stored}
        energy = Energy.from_dict(stored["energy"]) if "energy" in stored else Energy()
        return cls(**{**known, "going_on": events, "energy": energy})

    def next_run(self) -> Carry:
        """What a new epoch takes over: counters of energy go on."""
        return Carry(energy=self.energy)


class FrameBuilder:
    """One run's records in, drafts out. carry: as it stood after the last window that was closed."""

    def __init__(self, info: Mapping[str, Any], window_ms: int, p_at_meter: bool, carry: Carry | None = None) -> None:
        self.info = info
        self.window_ns = window_ms * 1_000_000
        self.p_at_meter = p_at_meter
        self.carry = carry or Carry()
        self.epoch, self.offset_ns = int(info["epoch"]), int(info["wall_offset_ns"])
        self._settings: dict[int, Mapping[str, Any]] = {}  # by digest
        self.lost = 0
        self._open: list[Records] = []
        self._readings: NDArray[np.int64] | None = None  # the newest, bit by bit
        self._t_changed_ns = 0  # when they last changed

    def know(self, info: Mapping[str, Any]) -> None:
        """The facts that hold for the records that follow: their settings may be others."""
        self._settings[int(info.get("settings_digest", -1))] = info.get("settings", {})

    @property
    def timed_info(self) -> dict[str, Any]:
        """The facts of the run, with the wall clock as it is now."""
        return {**self.info, "wall_offset_ns": self.offset_ns}

    def at(self, epoch: int, offset_ns: int) -> list[Draft]:
        """The records that follow are of this epoch; the window of another one is closed."""
        drafts = self.flush() if epoch != self.epoch else []
        self.epoch, self.offset_ns = epoch, offset_ns
        return drafts

    def add(self, records: Records) -> list[Draft]:
        """Take records in order of n; what a closed window already holds is ignored."""
        newest = int(self._open[-1]["n"][-1]) if self._open else self.carry.n_last
        records = records[records["n"] > newest]
        drafts: list[Draft] = []
        if not len(records):
            return drafts
        window = (self.offset_ns + records["t_ns"]) // self.window_ns
        if self._open and self._window(self._open[-1]) != window[0]:
            drafts += self.flush()
        parts = np.split(records, np.flatnonzero(np.diff(window)) + 1)
        for part in parts[:-1]:
            self._open.append(part)
            drafts += self.flush()
        self._open.append(parts[-1])
        return drafts

    def flush(self) -> list[Draft]:
        """Close the open window, full or not."""
        if not self._open:
            return []
        records = np.concatenate(self._open)
        self._open = []
        drafts = [*self._start(records), *self._clock(records), *self._lost(records)]
        drafts += [*self._overrun(records), *self._changes(records), *self._states(records), *self._reasons(records)]
        for name, bit, column in SIGNALS:
            drafts += self._grid(records, name, bit, column)
        p_w = self._power(records, "p_w")
        for event, record, facts in self.carry.energy.add(records, p_w, self.timed_info):
            drafts.append(self._event(event, record, **facts))
        drafts.append(self._live(records, p_w))
        newest = records[-1]
        self.carry.n_last, self.carry.t_last_ns = int(newest["n"]), int(newest["t_ns"])
        self.carry.state = int(newest["state"])
        self.carry.reasons = int(newest["reasons"])
        self.carry.settings_digest = int(newest["settings_digest"])
        self.carry.epoch, self.carry.offset_ns = self.epoch, self.offset_ns
        return drafts

    def end(self) -> list[Draft]:
        """The run is over, and this is all of it."""
        drafts = self.flush()
        if self.carry.n_last >= 0:
            drafts.append(self._event("end", {"n": self.carry.n_last, "t_ns": self.carry.t_last_ns}))
        return drafts

    def _window(self, records: Records) -> int:
        return int((self.offset_ns + records["t_ns"][-1]) // self.window_ns)

    def _t_ms(self, t_ns: int) -> int:
        return (self.offset_ns + int(t_ns)) // 1_000_000

    def _head(self, kind: str, t_ms: int) -> dict[str, Any]:
        info = self.info
        return {"v": VERSION, "kind": kind, "site": info["site"], "epoch": self.epoch, "run": info["epoch"],
                "t_ms": t_ms, "start_mode": info["start_mode"]}  # fmt: skip

    def _event(self, name: str, record: Any, **facts: Any) -> Draft:
        t_ms = self._t_ms(record["t_ns"])
        return Draft("event", name, t_ms, {**self._head("event", t_ms), "event": name, "n": int(record["n"]), **facts})

    def oscillography(self, record: Mapping[str, int], facts: Mapping[str, Any]) -> Draft:
        """The event that names a capture. record: n and t_ns of its trigger."""
        return self._event("oscillography", record, **facts)

    def _start(self, records: Records) -> list[Draft]:
        if self.carry.n_last >= 0:
            return []
        return [self._event("start", records[0], **{key: self.info.get(key) for key in OF_RUN})]

    def _clock(self, records: Records) -> list[Draft]:
        if self.carry.epoch in (-1, self.epoch):
            return []
        step_ms = (self.offset_ns - self.carry.offset_ns) // 1_000_000
        return [self._event("clock", records[0], step_ms=step_ms, epoch_before=self.carry.epoch)]

    def _overrun(self, records: Records) -> list[Draft]:
        """Grid points that the loop had to skip, one event a window: at the first of them."""
        late = records[records["k"] > 1]
        if not len(late):
            return []
        skipped = late["k"] - 1
        return [self._event("overrun", late[0], skipped=int(skipped.sum()), longest=int(skipped.max()))]

    def _changes(self, records: Records) -> list[Draft]:
        """Other settings: which, and from which step on."""
        known = self.carry.settings_digest
        digests = [int(records[0]["settings_digest"]) if known < 0 else known, *records["settings_digest"].tolist()]
        drafts = []
        for i in np.flatnonzero(np.diff(digests)):
            before, after = digests[i], digests[i + 1]
            changed = differing(self._settings.get(before, {}), self._settings.get(after, {}))
            facts = {"settings_before": before, "settings_digest": after, "changed": changed}
            drafts.append(self._event("settings", records[i], **facts))
        return drafts

    def _lost(self, records: Records) -> list[Draft]:
        n = np.concatenate(([self.carry.n_last], records["n"]))
        drafts = []
        for i in np.flatnonzero(np.diff(n) > 1):
            first, last = int(n[i]) + 1, int(n[i + 1]) - 1
            self.lost += last - first + 1
            drafts.append(self._event("lost", records[i], n_first=first, n_last=last, records=last - first + 1))
        return drafts

    def _states(self, records: Records) -> list[Draft]:
        states = np.concatenate(([self.carry.state], records["state"]))
        changes = np.flatnonzero(np.diff(states))
        drafts = []
        for i in changes[:MAX_TRANSITIONS]:
            before, now, bits = int(states[i]), int(states[i + 1]), int(records[i]["reasons"])
            drafts.append(self._event("state", records[i], before=None if before < 0 else before, state=now,
                                      state_name=name_of(State, now), reasons=bits, why=names(bits)))  # fmt: skip
        if len(changes) > MAX_TRANSITIONS:
            drafts[-1].body["more"] = len(changes) - MAX_TRANSITIONS
        return drafts

    def _reasons(self, records: Records) -> list[Draft]:
        """One event a window, however often the bits flap: events are never dropped, so they must be few."""
        bits = np.concatenate(([self.carry.reasons], records["reasons"])) & ~NOT_EVENTS
        changes = np.flatnonzero(np.diff(bits))
        if not len(changes):
            return []
        rose = int(np.bitwise_or.reduce(bits[1:] & ~bits[:-1]))
        fell = int(np.bitwise_or.reduce(bits[:-1] & ~bits[1:]))
        facts = {"before": int(bits[0]), "reasons": int(bits[-1]), "rose": rose, "fell": fell, "changes": len(changes)}
        named = {"rose_names": names(rose), "fell_names": names(fell)}
        return [self._event("reasons", records[changes[0]], **facts, **named)]

    def _grid(self, records: Records, name: str, bit: int, column: str) -> list[Draft]:
        drafts: list[Draft] = []
        active = records[(records["reasons"] & bit) != 0]
        groups = np.split(active, np.flatnonzero(np.diff(active["t_ns"]) >= QUIET_NS) + 1) if len(active) else []
        for group in groups:
            drafts += self._end_if_quiet(name, column, int(group[0]["t_ns"]))
            first, last = group[0], group[-1]
            event = self.carry.going_on.get(name)
            if event is None:
                event = GridEvent(int(first["n"]), int(first["t_ns"]), 0, 0, float(first[column]), float(first[column]))
                self.carry.going_on[name] = event
                drafts.append(self._event(f"{name}_begin", first, **{column: number(first[column])}))
            event.n_end, event.t_end_ns = int(last["n"]), int(last["t_ns"])
            event.low = float(np.fmin.reduce(group[column], initial=event.low))
            event.high = float(np.fmax.reduce(group[column], initial=event.high))
        return drafts + self._end_if_quiet(name, column, int(records[-1]["t_ns"]))

    def _end_if_quiet(self, name: str, column: str, t_ns: int) -> list[Draft]:
        event = self.carry.going_on.get(name)
        if event is None or t_ns - event.t_end_ns < QUIET_NS:
            return []
        del self.carry.going_on[name]
        facts = {"n_begin": event.n_begin, "duration_s": (event.t_end_ns - event.t_begin_ns) / 1e9,
                 f"{column}_min": number(event.low), f"{column}_max": number(event.high)}  # fmt: skip
        return [self._event(f"{name}_end", {"n": event.n_end, "t_ns": event.t_end_ns}, **facts)]

    def of_devices(self, live: Draft, told: Mapping[str, Any]) -> list[Draft]:
        """Put the devices' own counters of energy (buses.json) into a live frame. -> an event for each that fell.

        Each a millisecond after the one before: two of one name and time would be one row to the store.
        """
        counters, fallen = self.carry.energy.from_devices(told)
        live.body.update(counters)
        facts_of = {"event": "energy_reset", "n": live.body["n_last"]}
        return [
            Draft("event", "energy_reset", t_ms, self._head("event", t_ms) | facts_of | facts)
            for t_ms, facts in enumerate(fallen, live.t_ms)
        ]

    def _live(self, records: Records, p_w: Values) -> Draft:
        last = records[-1]
        t_ms = self._t_ms(last["t_ns"])
        q_var = self._power(records, "q_var")
        bits_or = int(np.bitwise_or.reduce(records["reasons"]))
        hours = records["k"] * (int(self.info["period_ns"]) / 3.6e12)
        body = self._head("live", t_ms) | {
            "sign": SIGN,
            "t_first_ms": self._t_ms(records[0]["t_ns"]),
            "n_first": int(records[0]["n"]),
            "n_last": int(last["n"]),
            "steps": len(records),
            "skipped": int((records["k"] - 1).sum()),
            "skipped_total": int(last["skipped"]),
            "f_hz": spread(unless_stale(records, "f", "f_hz")),
            "v_pu": spread(unless_stale(records, "v", "v_pu")),
            "p_w": spread(p_w),
            "q_var": spread(q_var),
            "p_cmd_w": spread(records["p_cmd_w"]),
            "dp_w": spread(records["dp_w"]),
            "soc_pu": spread(unless_stale(records, "d", "d_soc_pu")),
            "age_ms": {s: newest_and_max(ages_ms(records[f"age_{s}_ns"])) for s in "fvpd"},
            "meter_refresh_ms": self._refresh_ms(records),
            "late_us": middle_and_max(records["lateness_ns"] / 1e3),
            "reasons": int(last["reasons"]),
            "reasons_or": bits_or,
            "why": names(bits_or),
            "state": int(last["state"]),
            "state_name": name_of(State, int(last["state"])),
            "mode": int(last["mode"]),
            "mode_name": name_of(Mode, int(last["mode"])),
            "energy_out_wh": number(np.nansum(np.maximum(p_w, 0.0) * hours)),
            "energy_in_wh": number(np.nansum(np.maximum(-p_w, 0.0) * hours)),
            **self.carry.energy.fields(),
        }
        return Draft("live", "live", t_ms, body)

    def _refresh_ms(self, records: Records) -> float | None:
        """Mean time between changes of any reading; None when there were no two."""
        readings = np.stack([records[name].view(np.int64) for name in READINGS], axis=1)
        before = readings[:1] if self._readings is None else self._readings[None]
        changed = np.any(np.diff(readings, axis=0, prepend=before) != 0, axis=1)
        self._readings = readings[-1]
        t_ns = records["m_t_f_ns"][changed]
        if self._t_changed_ns:
            t_ns = np.concatenate(([self._t_changed_ns], t_ns))
        if len(t_ns):
            self._t_changed_ns = int(t_ns[-1])
        return number((t_ns[-1] - t_ns[0]) / (len(t_ns) - 1) / 1e6) if len(t_ns) > 1 else None

    def _power(self, records: Records, quantity: str) -> Values:
        return measured(records, quantity, self.p_at_meter)


def measured(records: Records, quantity: str, p_at_meter: bool) -> Values:
    """p_w or q_var at the unit's terminals: the meter's where it stands there, else the inverter's own."""
    device = unless_stale(records, "d", f"d_{quantity}")
    if not p_at_meter:
        return device
    meter = unless_stale(records, "p", f"m_{quantity}")
    return np.where(np.isfinite(meter), meter, device)


def unless_stale(records: Records, signal: str, column: str) -> Values:
    """A measured quantity, NaN where its signal is stale or lost."""
    return np.where(records[f"fresh_{signal}"] <= Freshness.HELD, records[column], np.nan)


def spread(values: NDArray[Any]) -> dict[str, float | None]:
    """Newest, least, greatest and mean; absent values do not count."""
    known = values[np.isfinite(values)]
    if not len(known):
        return {"newest": None, "min": None, "max": None, "mean": None}
    low, high, mean = known.min(), known.max(), known.mean()
    return {"newest": number(values[-1]), "min": number(low), "max": number(high), "mean": number(mean)}


def ages_ms(ages_ns: NDArray[Any]) -> Values:
    """What was never measured has no age."""
    return np.where(ages_ns < NEVER_NS, ages_ns / 1e6, np.nan)


def newest_and_max(values: NDArray[Any]) -> dict[str, float | None]:
    """The two ages worth sending."""
    return {"newest": number(values[-1]), "max": number(np.fmax.reduce(values))}


def middle_and_max(values: NDArray[Any]) -> dict[str, float | None]:
    """Lateness: the usual and the worst."""
    return {"p50": number(np.median(values)), "max": number(values.max())}


def number(value: Any) -> float | None:
    """Eight digits are more than any meter has; NaN and infinity never go on the wire."""
    return float(f"{value:.8g}") if np.isfinite(value) else None


def names(bits: int) -> list[str]:
    """Reasons as their names, in bit order."""
    return [str(r.name) for r in Reason if bits & r]


def name_of(kind: type[State] | type[Mode], value: int) -> str:
    """An enum's name, or the bare number if the core knows more than we do."""
    try:
        return kind(value).name
    except ValueError:
        return str(value)


def differing(before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Two mappings of settings -> "group.name: before -> after" of each that differs; nothing when one is not known."""
    return [
        f"{group}.{name}: {before[group][name]} -> {value}"
        for group, values in after.items()
        for name, value in values.items()
        if group in before and name in before[group] and before[group][name] != value
    ]

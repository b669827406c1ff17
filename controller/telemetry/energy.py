"""Energy: what the unit took and gave, from the power of each step, in all and of the car's session. Pure.

Source   P of the frame (measured, + = out of the inverter into the grid) times the time since the step before, as
         t_ns says it: a skipped grid point belongs to the step that follows it.
Unknown  time whose power nobody knows (P absent or stale, records lost, the controller stopped) is counted in seconds,
         never as 0 W: what a counter may be short of.
Counters import from the grid, export into it: they only grow, across restarts too (kept with the outbox's progress).
Session  from plug to unplug, as the inverter says; a state that is late or unknown changes nothing.
Device   counters of the devices themselves come as they are (from_devices); one that falls is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cython_core.records import DeviceValid, Freshness, Session

Records = NDArray[Any]
Values = NDArray[np.float64]

LONGEST_GAP_S = 366 * 86400.0  # between two runs; more is a clock that was never set
PLUGGED, UNPLUGGED, UNSEEN = 1, 0, -1
STALE_S = 30.0  # three times drivers.devicemap.ENERGY_MS: a counter that was not read for so long is not sent
# the devices' own counters -> their names in a frame
NAMES = {
    ("meter", "e_import_wh"): "e_meter_import_wh",
    ("meter", "e_export_wh"): "e_meter_export_wh",
    ("inverter", "e_dc_in_wh"): "e_dc_in_wh",
    ("inverter", "e_dc_out_wh"): "e_dc_out_wh",
}


@dataclass(slots=True)
class Counters:
    """Wh both ways, and the seconds for which nobody knows."""

    import_wh: float = 0.0
    export_wh: float = 0.0
    unknown_s: float = 0.0

    def add(self, p_w: Values, dt_s: Values) -> None:
        """p_w: NaN is unknown."""
        known = np.isfinite(p_w)
        wh = np.where(known, p_w, 0.0) * dt_s / 3600.0
        self.export_wh += float(wh[wh > 0.0].sum())
        self.import_wh -= float(wh[wh < 0.0].sum())
        self.unknown_s += float(dt_s[~known].sum())


@dataclass(slots=True)
class Energy:
    """All counters; add() takes records in order. Kept as JSON (to_dict, from_dict)."""

    total: Counters = field(default_factory=Counters)
    session: Counters = field(default_factory=Counters)
    session_s: float = 0.0
    plugged: int = UNSEEN
    boot_id: str = ""
    t_ns: int = 0  # of the newest record
    wall_ns: int = 0
    devices: dict[str, float] = field(default_factory=dict)  # newest counters of the devices

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Energy:
        """The reverse of dataclasses.asdict."""
        return cls(**{**stored, "total": Counters(**stored["total"]), "session": Counters(**stored["session"])})

    def add(self, records: Records, p_w: Values, info: Mapping[str, Any]) -> Iterator[tuple[str, Any, dict[str, Any]]]:
        """(event, its record, facts): session_begin and session_end."""
        dt_s, unknown_s = self._durations(records, info)
        plugged = self._plugged(records)
        for part in np.split(np.arange(len(records)), np.flatnonzero(np.diff(plugged)) + 1):
            yield from self._transition(records[part[0]], int(plugged[part[0]]))
            for counters in self._running():
                counters.add(p_w[part], dt_s[part])
                counters.unknown_s += float(unknown_s[part].sum())
            if self.plugged == PLUGGED:
                self.session_s += float((dt_s[part] + unknown_s[part]).sum())

    def _running(self) -> tuple[Counters, ...]:
        return (self.total, self.session) if self.plugged == PLUGGED else (self.total,)

    def _durations(self, records: Records, info: Mapping[str, Any]) -> tuple[Values, Values]:
        """(seconds that each record stands for, seconds before them that no record stands for)."""
        boot_id, t_ns = str(info.get("boot_id", "")), records["t_ns"]
        wall_ns = int(info["wall_offset_ns"]) + int(t_ns[-1])
        own_s = records["k"] * (int(info["period_ns"]) / 1e9)
        unknown_s = np.zeros(len(records))
        unknown_s[1:] = np.diff(t_ns) / 1e9 - own_s[1:]
        if self.wall_ns:
            before = self.t_ns if boot_id == self.boot_id else self.wall_ns - int(info["wall_offset_ns"])
            unknown_s[0] = (int(t_ns[0]) - before) / 1e9 - own_s[0]
        self.boot_id, self.t_ns, self.wall_ns = boot_id, int(t_ns[-1]), wall_ns
        unknown_s[(unknown_s < 1e-6) | (unknown_s > LONGEST_GAP_S)] = 0.0
        return own_s, unknown_s

    def _plugged(self, records: Records) -> NDArray[np.int64]:
        """PLUGGED, UNPLUGGED or UNSEEN at each record; what is not said stays as it was."""
        said = (records["d_valid"] & int(DeviceValid.SESSION) != 0) & (records["fresh_d"] <= int(Freshness.HELD))
        said &= records["d_session"] != int(Session.UNKNOWN)
        states = np.concatenate(([self.plugged], np.where(records["d_session"] == int(Session.UNPLUGGED), 0, 1)))
        newest = np.maximum.accumulate(np.where(np.concatenate(([True], said)), np.arange(len(states)), 0))
        return np.asarray(states[newest][1:], dtype=np.int64)

    def _transition(self, record: Any, plugged: int) -> Iterator[tuple[str, Any, dict[str, Any]]]:
        before, self.plugged = self.plugged, plugged
        if plugged == before:
            return
        if plugged == PLUGGED:
            self.session, self.session_s = Counters(), 0.0
            yield "session_begin", record, {"was_plugged": before == UNSEEN}
        elif before == PLUGGED:
            yield "session_end", record, self._session()

    def _session(self) -> dict[str, float | None]:
        seen, of = self.plugged == PLUGGED or self.session_s > 0.0, self.session
        values = {"import_wh": of.import_wh, "export_wh": of.export_wh, "unknown_s": of.unknown_s, "s": self.session_s}
        return {f"e_session_{name}": round(value, 3) if seen else None for name, value in values.items()}

    def fields(self) -> dict[str, float | None]:
        """As a live frame has them. A session's stay until the next car comes."""
        total = asdict(self.total)
        return {f"e_{name}": round(value, 3) for name, value in total.items()} | self._session()

    def from_devices(self, told: Mapping[str, Any]) -> tuple[dict[str, float], list[dict[str, Any]]]:
        """told: buses.json. -> (fields of a live frame, one group of facts for each counter that has fallen)."""
        found: dict[str, float] = {}
        for (role, theirs), ours in NAMES.items():
            counters = told.get("energies", {}).get(role, {})
            age_s = (told.get("t_ns", 0) - counters.get("t_ns", 0)) / 1e9
            if theirs in counters and age_s <= STALE_S:
                found[ours] = round(float(counters[theirs]), 3)
        fallen = [
            {"counter": name, "before_wh": self.devices[name], "now_wh": wh}
            for name, wh in found.items()
            if wh < self.devices.get(name, 0.0)
        ]
        self.devices |= found
        return found, fallen

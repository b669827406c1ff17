"""A journal of hours that never were, by the real core in virtual time: a meter each 0.1 s, an inverter 0.15 s late.

    python -m tests.controller.daily.maker DAY.v2gj --hours 24

Every hour has one event of under- and one of over-frequency (EVENTS); between them frequency wanders inside the dead
band. The car charges with 1400 W. Nothing of drivers/sim; a minute at a time, so that any length fits into memory.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.build import build_id
from controller.journalwriter import JournalWriter
from cython_core.bulk import STEP, stack
from cython_core.records import DeviceStatus, DeviceValid, MeasurementValid, Session, StepRecord
from cython_core.settings import Settings, to_mapping
from cython_core.step import Core

PERIOD_NS, METER_STEPS, DELAY_STEPS = 10_000_000, 10, 15
MINUTE = 6000  # steps
T0_NS = 1_000_000_000_000
DAY = datetime(2026, 3, 5, tzinfo=UTC)
WISH_W = -1400.0
SETTINGS = Settings.from_mapping({"rating": {"p_rated_w": 7000.0}, "default_wish": {"charge_w": 1400.0}})
# (second of the hour, Hz at the extreme, seconds out of the dead band): a fall within a second, a slow return
EVENTS = ((600.0, -0.25, 60.0), (2400.0, 0.15, 40.0))


def info(begin: datetime = DAY, epoch: int = 7, **more: Any) -> dict[str, Any]:
    """What the ring of such a run says."""
    facts = {
        "v": 1, "site": "home", "start_mode": "shadow", "epoch": epoch, "boot_id": "b", "build": build_id(),
        "period_ns": PERIOD_NS, "wall_offset_ns": int(begin.timestamp()) * 10**9 - T0_NS, "settings_digest": 5,
        "settings": to_mapping(SETTINGS), "meter_location": "inverter", "maps": {},
    }  # fmt: skip
    return facts | more


def frequency(t_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """60 Hz with some mHz of wandering, and the events."""
    f_hz = 60.0 + 0.012 * np.sin(t_s / 37.0) + 0.008 * np.sin(t_s / 11.0)
    for at_s, df_hz, lasts_s in EVENTS:
        since_s = t_s % 3600.0 - at_s
        f_hz += np.where((since_s >= 0) & (since_s < lasts_s), df_hz * np.clip(since_s, 0, 1), 0.0)
    return f_hz


def inputs(n: int, count: int, rng: np.random.Generator) -> NDArray[Any]:
    """What the core sees in steps n ... , but for the power."""
    rows = np.repeat(stack([StepRecord()]), count)
    rows["n"] = np.arange(n, n + count)
    rows["t_ns"] = T0_NS + rows["n"] * PERIOD_NS
    rows["lateness_ns"] = rng.integers(20_000, 60_000, count)
    read = rows["n"] // METER_STEPS * METER_STEPS
    taken_ns = T0_NS + read * PERIOD_NS - 2_000_000
    for name in ("m_t_f_ns", "m_t_v_ns", "m_t_p_ns"):
        rows[name] = taken_ns
    noise = np.repeat(rng.normal(0.0, 1.0, count // METER_STEPS), METER_STEPS)
    rows["m_valid"] = int(MeasurementValid.F | MeasurementValid.V1 | MeasurementValid.P)
    rows["m_f_hz"] = np.round(frequency((taken_ns - T0_NS) / 1e9) + 0.0005 * noise, 3)
    rows["m_v1_v"] = 240.0 + np.round(0.1 * noise, 2)
    rows["d_t_ns"] = rows["d_t_echo_ns"] = T0_NS + rows["n"] // 20 * 20 * PERIOD_NS - 3_000_000
    rows["d_valid"] = int(DeviceValid.P | DeviceValid.SOC | DeviceValid.SESSION | DeviceValid.STATUS)
    rows["d_soc_pu"], rows["d_session"] = 0.5, int(Session.READY)
    rows["d_status"] = int(DeviceStatus.RUNNING | DeviceStatus.CONNECTED)
    return rows


def minutes(hours: float, first_n: int = 0) -> Iterator[tuple[NDArray[Any], bytes]]:
    """(step records of a minute, the core's state before them). The power is what was commanded 0.15 s ago."""
    rng = np.random.default_rng(1)
    ahead, core = Core(SETTINGS, PERIOD_NS / 1e9, in_service=True), Core(SETTINGS, PERIOD_NS / 1e9, in_service=True)
    late = np.full(DELAY_STEPS, WISH_W)
    for i in range(round(hours * 60)):
        rows = inputs(first_n + i * MINUTE, MINUTE, rng)
        rows["d_p_w"] = rows["m_p_w"] = WISH_W
        command = np.frombuffer(ahead.replay(rows.view(np.uint8).data), dtype=STEP)["p_cmd_w"]
        power = np.concatenate((late, command))[:MINUTE]
        late = command[-DELAY_STEPS:].copy()
        shown = np.repeat(power[::METER_STEPS], METER_STEPS) + rows["m_v1_v"] - 240.0
        rows["d_p_w"] = rows["m_p_w"] = np.round(shown, 1)
        before = core.state()
        yield np.frombuffer(core.replay(rows.view(np.uint8).data), dtype=STEP), before


def write(path: Path, hours: float, begin: datetime = DAY, without: Sequence[int] = (), **more: Any) -> None:
    """A journal. without: minutes that were lost before they were written."""
    writer = JournalWriter(path, max_bytes=2**40)
    writer.begin(info(begin, **more))
    for i, (records, state) in enumerate(minutes(hours)):
        if i not in without:
            writer.append(records.tobytes(), (int(records["n"][0]), state))
    writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("journal", type=Path)
    parser.add_argument("--hours", type=float, default=24.0)
    args = parser.parse_args()
    write(args.journal, args.hours)


if __name__ == "__main__":
    main()

"""Recorded time over the time of its replay at 10 ms, as `v2g replay` does it: read, compute, demand equal bits.

The journal is written by the product's own writer from steps in virtual time, as an ordinary day gives them: meter and
inverter answer every 100 ms with noise in their last digits, each step has its lateness, a tenth of the time the
frequency is outside the dead band. CPU time of one core; nothing but the record's inputs and checksums is read.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.build import build_id
from controller.journal import read_journal
from controller.journalwriter import JournalWriter
from controller.replay import Replay, replay
from cython_core.bulk import START_NS, STEP
from cython_core.records import NAN, DeviceStatus, DeviceValid, MeasurementValid, Session
from cython_core.settings import Settings, to_mapping
from cython_core.step import Core
from tests.performance.harness import Contestant, Gate, Measurement

PERIOD_NS = 10_000_000
STEPS, QUICK_STEPS = 360_000, 60_000
ANSWER_STEPS = 10
SNAPSHOT_STEPS = 6_000  # a minute
P_W = 2000.0
RECORDED, REPLAYED = "recorded time", "replay"
ABSENT = ("m_v2_v", "m_v3_v", "m_p1_w", "m_p2_w", "m_p3_w", "m_i1_a", "m_i2_a", "m_i3_a", "d_p_set_readback_w",
          "d_p_max_discharge_w", "d_p_max_charge_w", "d_p_min_abs_w", "d_s_max_va", "o_ap_limit_pu")  # fmt: skip


def ordinary_day(steps: int) -> NDArray[Any]:
    """Inputs of so many steps, outputs 0."""
    rng = np.random.default_rng(1547)
    rows = np.zeros(steps, dtype=STEP)
    number = np.arange(steps)
    answered = number // ANSWER_STEPS * ANSWER_STEPS  # the step before which meter and inverter answered last
    f_noise, v_noise, p_noise, wait = np.repeat(rng.normal(size=(4, steps // ANSWER_STEPS + 1)), ANSWER_STEPS, axis=1)[
        :, :steps
    ]
    outside = answered // SNAPSHOT_STEPS % 10 == 9
    rows["k"], rows["t_ns"] = 1, START_NS + number * PERIOD_NS
    rows["lateness_ns"] = rng.gamma(4.0, 10_000.0, steps)
    for name in ("m_t_f_ns", "m_t_v_ns", "m_t_p_ns", "d_t_ns", "d_t_echo_ns"):
        rows[name] = START_NS + answered * PERIOD_NS - (3e6 + 2e5 * wait).astype(np.int64)
    for name in ABSENT:
        rows[name] = NAN
    rows["m_valid"] = int(MeasurementValid.F | MeasurementValid.V1 | MeasurementValid.P | MeasurementValid.Q)
    rows["m_f_hz"] = np.float32(60.0 - 0.1 * outside + 0.02 * np.sin(answered / 3000.0) + 0.003 * f_noise)
    rows["m_v1_v"] = np.float32(230.0 + 2.0 * np.sin(answered / 9000.0) + 0.2 * v_noise)
    rows["m_p_w"], rows["m_q_var"] = np.float32(P_W + 3.0 * p_noise), np.float32(3.0 * v_noise)
    rows["d_valid"] = int(DeviceValid.SOC | DeviceValid.STATUS | DeviceValid.P | DeviceValid.Q)
    rows["d_p_w"], rows["d_soc_pu"] = np.round(P_W + 3.0 * p_noise), np.round(0.5 + number / 1e7, 3)
    rows["d_session"], rows["d_status"] = int(Session.READY), int(DeviceStatus.RUNNING | DeviceStatus.CONNECTED)
    rows["o_t_ns"], rows["o_permit"], rows["i_source"] = START_NS, 1, -1
    return rows


def record(path: Path, steps: int) -> None:
    """Compute the steps and write their journal, a snapshot each minute."""
    core = Core(Settings(), PERIOD_NS * 1e-9, in_service=True)
    core.assume_power(P_W)
    facts = {"epoch": 1, "build": build_id(), "period_ns": PERIOD_NS, "settings": to_mapping(core.settings)}
    writer = JournalWriter(path)
    writer.begin(facts)
    inputs = ordinary_day(steps)
    for at in range(0, steps, SNAPSHOT_STEPS):
        state = core.state()
        raw = core.replay(inputs[at : at + SNAPSHOT_STEPS].tobytes())
        writer.append(bytes(raw), (at, state))
    writer.close()


class Recording:
    """A journal for as long as it is measured."""

    path: Path

    def __init__(self, steps: int) -> None:
        self.steps = steps

    @contextmanager
    def there(self) -> Iterator[None]:
        with tempfile.TemporaryDirectory() as folder:
            self.path = Path(folder) / "journal.v2gj"
            record(self.path, self.steps)
            yield

    def start(self) -> Callable[[], Replay]:
        return lambda: replay(read_journal(self.path))


def outcome(result: Replay) -> tuple[bool, int]:
    return result.identical, sum(run.identical for run in result.runs)


def measurements(quick: bool) -> tuple[Measurement, ...]:
    steps = QUICK_STEPS if quick else STEPS
    recording = Recording(steps)
    recorded = Contestant(RECORDED, 1, lambda: lambda: (True, steps), samples=lambda _: [float(PERIOD_NS)])
    return (
        Measurement(
            "replay",
            "ns/step",
            (recorded, Contestant(REPLAYED, steps, recording.start, outcome)),
            (Gate(RECORDED, REPLAYED, 1e4, 3e4),),
            recording.there,
        ),
    )

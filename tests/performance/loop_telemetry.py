"""Wake-up lateness of the core at 1 kHz with telemetry at full load, and killed again and again, over telemetry frozen.

The real core process against simulated devices, telemetry, broker and bridge by the commands that run in a house, all
of them on one CPU. Load: ten frames a second, 1000 steps a second for the journal, and a backlog that is being sent.
Skipped grid points are counted beside it, and told at the end.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from controller.telemetry.outbox import Outbox
from cython_core.bulk import from_bytes
from cython_core.realtime.ring import RingReader
from tests.controller.telemetry.makers import live
from tests.faults.rig import NAME, READY_S, Rig
from tests.performance.harness import Contestant, Gate, Measurement
from tests.performance.loop_process import PERIOD_NS

SLICE_S, QUICK_SLICE_S = 2.0, 1.0  # short ones, in many rounds: a neighbour comes and goes within seconds
ROUNDS, QUICK_ROUNDS = 15, 7
KILL_EVERY_S = 0.7  # it has just begun to work
BACKLOG = 50_000  # 50 a second: more than a run of this lasts
FROZEN, LOADED, KILLED = "telemetry frozen", "telemetry at full load", "telemetry killed and restarted"
MOST = 100_000


class House:
    """Everything runs as long as it is measured; between slices telemetry is frozen."""

    rig: Rig

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.skipped: Counter[str] = Counter()
        self.steps: Counter[str] = Counter()

    @contextmanager
    def running(self) -> Iterator[None]:
        with tempfile.TemporaryDirectory() as folder, Rig(Path(folder)) as self.rig:
            self.rig.start("grid", "meter", "inverter", "broker")
            site = self.rig.site.read_text().replace("live_s: 1\n", "live_s: 0.1\n")
            self.rig.site.write_text(f"{site}period_ms: {PERIOD_NS // 1_000_000}\n")
            box = Outbox(self.rig.folder / "state" / "outbox.sqlite", NAME)
            box.add([live(i, site=NAME) for i in range(BACKLOG)], 0)
            box.close()
            for part in ("bridge", "telemetry", "controller"):
                self.rig.restart(part)
            self.rig.wait_for((self.rig.folder / "run" / "ring").exists, READY_S, "the controller's ring")
            self.rig.wait_for(lambda: self.rig.telemetry().get("acknowledged"), READY_S, "rows to arrive")
            self.rig.freeze("telemetry")
            yield
            self.rig.thaw("telemetry")
        for name in (FROZEN, LOADED, KILLED):
            print(f"  {name}: {self.skipped[name]} of {self.steps[name]} grid points skipped", file=sys.stderr)

    def lateness_us(self, name: str, beside: Callable[[], None]) -> Sequence[float]:
        """Of each step while `beside` runs."""
        reader = RingReader(self.rig.folder / "run" / "ring")
        reader.next_n = reader.head
        beside()
        records = from_bytes(reader.read(MOST)[0])
        skipped = records["k"] - 1
        self.skipped[name] += int(skipped.sum())
        self.steps[name] += int(records["k"].sum())
        late_us: list[float] = ((records["lateness_ns"] + skipped * PERIOD_NS) / 1e3).tolist()
        return late_us

    def loaded(self) -> None:
        self.rig.thaw("telemetry")
        time.sleep(self.seconds)
        self.rig.freeze("telemetry")

    def killed(self) -> None:
        self.rig.thaw("telemetry")
        until = time.monotonic() + self.seconds
        while time.monotonic() < until:
            time.sleep(KILL_EVERY_S)
            self.rig.kill("telemetry")
            self.rig.restart("telemetry")
        self.rig.freeze("telemetry")


def measurements(quick: bool) -> tuple[Measurement, ...]:
    house = House(QUICK_SLICE_S if quick else SLICE_S)
    frozen = partial(time.sleep, house.seconds)
    beside: dict[str, Callable[[], None]] = {FROZEN: frozen, LOADED: house.loaded, KILLED: house.killed}
    contestants = tuple(
        Contestant(name, 1, partial(partial, house.lateness_us, name, work), None, list)
        for name, work in beside.items()
    )
    gates = tuple(Gate(name, FROZEN, 1.2, 1.05, at_most=True) for name in (LOADED, KILLED))
    return (Measurement("loop_telemetry", "us", contestants, gates, house.running, QUICK_ROUNDS if quick else ROUNDS),)

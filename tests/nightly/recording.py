"""A journal of random units in random worlds, from the compiled core: `python -m tests.nightly.recording FILE CASES`.

The same cases on every machine: random settings, some sixty changes of grid, devices and wishes each, NaN among them.
The file holds the core's own bits and no name of a build, so that those of two machines can be compared as they are.
"""

from __future__ import annotations

import math
import sys
from dataclasses import fields
from pathlib import Path
from random import Random
from typing import Any

from controller.journalwriter import JournalWriter
from cython_core.records import DeviceState, Measurement, Order, StepRecord, Wish
from cython_core.settings import Settings, to_mapping
from cython_core.step import Core
from tests.cython_core.cases import Tape, settings_from
from tests.cython_core.scenes import Scene
from tests.cython_core.test_reference import LONG_TAPE, PERIODS_S, raw


def record(path: Path, cases: int) -> int:
    """-> the number of steps."""
    writer, steps = JournalWriter(path), 0
    for number in range(cases):
        tape = Tape(Random(number).randbytes(LONG_TAPE))
        settings = Settings.from_mapping(to_mapping(settings_from(tape)))  # as a site file has them: no -0.0
        period_s, in_service = tape.pick(PERIODS_S), tape.byte() > 160
        core, scene = Core(settings, period_s, in_service), Scene(tape, settings, period_s)
        begin, records = core.state(), []
        for inputs in scene.steps():
            records.append(step(core, *inputs))
            scene.told_w, scene.told_var = records[-1].p_cmd_w, records[-1].q_cmd_var
        again = Core(settings, period_s)
        again.load(begin)
        facts = {"epoch": number + 1, "build": "the same", "period_ns": round(period_s * 1e9)}
        writer.begin(facts | {"settings": to_mapping(settings), "settings_digest": core.digest})
        writer.append(bytes(again.replay(raw(records))), snapshot=(0, begin))
        steps += len(records)
    writer.close()
    return steps


def step(core: Core, t_ns: int, meter: Any, device: Any, order: Any, wish: Any, k: int) -> StepRecord:
    """The scene's inputs in the core's own types."""
    kinds: tuple[Any, ...] = (Measurement, DeviceState, Order, Wish)
    meter, device, order, wish = (
        None if one is None else kind(**{f.name: one_nan(getattr(one, f.name)) for f in fields(kind)})
        for kind, one in zip(kinds, (meter, device, order, wish), strict=True)
    )
    return core.step(t_ns, meter, device, order, wish, k)


def one_nan(value: Any) -> Any:
    """Python's own arithmetic, of the scene: its NaN has a sign on x86-64 and none on arm64."""
    return math.nan if value != value else value


if __name__ == "__main__":
    print(record(Path(sys.argv[1]), int(sys.argv[2])), "steps")

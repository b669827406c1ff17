"""A bench for test_guard.py to kill: python -m tests.drivers.gridsource.bench_process ADDRESS PERMIT_FILE

It takes the source to 250 V, says so, and hangs.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from signal import pause

from drivers.gridsource.envelope import Envelope
from drivers.gridsource.guard import Watch
from drivers.gridsource.guarded import GuardedSource
from drivers.gridsource.point import GridPoint
from drivers.gridsource.spec import SourceSpec, open_source

NOMINAL = GridPoint(240.0, 240.0, 240.0, 60.0)
ENVELOPE = Envelope(
    v_min_v=0.0,
    v_max_v=290.0,
    f_min_hz=56.0,
    f_max_hz=66.0,
    v_step_v=250.0,
    f_step_hz=6.0,
    v_normal_low_v=211.2,
    v_normal_high_v=264.0,
    high_s=0.2,
)


def watch_of(address: str, permit: Path) -> Watch:
    spec = SourceSpec(kind="scpi", phases=1, profile="simulated", address=address)
    return Watch(partial(open_source, spec, NOMINAL), ENVELOPE, permit_off=permit.touch)


def main(address: str, permit: str) -> None:
    source = GuardedSource(watch_of(address, Path(permit)))
    source.on(GridPoint(250.0, 0.0, 0.0, 60.0))
    print("on", flush=True)
    pause()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""`make system`: lanes of tests beside each other, then, alone, those that measure time.

python -m tests.system [ARGS of pytest]    with arguments: one run of what they choose, nothing beside it

Most of these tests wait: for a ramp, a time-out, a reconnection. Lanes wait at once; the first one is seen as it goes,
the words of the others follow when it is over. A file in which something fails among others is played once more, alone:
that verdict counts. The whole file: tests of one rig follow each other.
Exit 0 all is green, else pytest's own code.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
PYTEST = (sys.executable, "-m", "pytest", "-m", "system and not nightly")
MARK = "pytest.mark.system"
FAILED = 1  # pytest's code; others are no verdict on a test
# shares of a processor, times of a wire: nothing runs beside them
ALONE = ("tests/performance", "tests/peers/c")


def files(*names: str) -> tuple[str, ...]:
    return tuple(f"tests/system/test_{name}.py" for name in names)


# each as long as the others; what is in none of these two is in the third
DEMONSTRATIONS = ("tests/faults", *files("demo", "faults_demo", "traces", "grafana", "report_page", "loss", "rotation",
                                         "store_faults"))  # fmt: skip
# in this order: while demonstrations are played nothing compiles and no system is copied
MACHINES = files("units", "scan", "modbus_peers", "commission", "getting_started", "memory_stress", "can", "systemd",
                 "fuzz", "sanitizers", "wheel")  # fmt: skip


def others() -> tuple[str, ...]:
    """Every other file of this folder, and with this tier's mark in it; collecting all the rest takes its time, too."""
    found = (
        path for path in sorted(TESTS.rglob("test_*.py")) if path.parent.name == "system" or MARK in path.read_text()
    )
    known = (*ALONE, *DEMONSTRATIONS, *MACHINES)
    return tuple(name for path in found if not (name := str(path.relative_to(ROOT))).startswith(known))


def main(words: Sequence[str]) -> int:
    if words:
        return run(*words)
    with TemporaryDirectory() as folder:
        caches = [Path(folder) / f"{i}" for i in range(3)]
        lanes = zip((DEMONSTRATIONS, MACHINES, others()), caches, strict=True)
        codes = beside_each_other([(*lane, "-o", f"cache_dir={cache}") for lane, cache in lanes], Path(folder))
        for i, code in enumerate(codes):
            if code == FAILED:
                again = failed_files(caches[i])
                print("=== once more, alone:", *again, flush=True)
                codes[i] = run(*again)
    codes.append(run(*ALONE))
    return next((code for code in codes if code), 0)


def run(*words: str) -> int:
    return subprocess.run([*PYTEST, *words], cwd=ROOT, check=False).returncode


def failed_files(cache: Path) -> list[str]:
    """Those with a test that pytest has noted as failed."""
    return sorted({name.partition("::")[0] for name in json.loads((cache / "v/cache/lastfailed").read_text())})


def beside_each_other(lanes: Sequence[tuple[str, ...]], folder: Path) -> list[int]:
    """The code of each."""
    seen, *unseen = lanes
    said = [folder / f"said{i}" for i, _ in enumerate(unseen)]
    running: list[subprocess.Popen[bytes]] = []
    for path, lane in zip(said, unseen, strict=True):
        with path.open("wb") as file:
            running.append(subprocess.Popen([*PYTEST, *lane], cwd=ROOT, stdout=file, stderr=file))
    try:
        codes = [run(*seen), *(process.wait() for process in running)]
    except KeyboardInterrupt:  # all of them have heard it, and tidy up
        for process in running:
            process.wait()
        raise
    for path in said:
        print(path.read_text(errors="replace"), flush=True)
    return codes


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""`make system`: jobs of tests beside each other, then, alone, those that measure time.

python -m tests.system [ARGS of pytest]    with arguments: one run of what they choose, nothing beside it

Most of these tests wait: for a ramp, a time-out, a reconnection. Some jobs wait at once; what each has printed follows
when it is over. A file in which something fails among others is played once more, alone: that verdict counts. The whole
file: tests of one rig follow each other.
Exit 0 all is green, else pytest's own code.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
PYTEST = (sys.executable, "-m", "pytest", "-m", "system and not nightly")
MARK = "pytest.mark.system"
FAILED = 1  # pytest's code; others are no verdict on a test
NONE = 5  # nor is this: all tests of the files are nightly's
AT_ONCE = 3  # a fourth gains nothing on two processors, and makes late what runs in real time
# shares of a processor, times of a wire: nothing runs beside them
ALONE = ("tests/performance", "tests/peers/c")


def files(*names: str) -> tuple[str, ...]:
    return tuple(f"tests/system/test_{name}.py" for name in names)


# the demonstrations of all of them are played once, and each has a pool of its own: one job
POOLED = ("tests/faults/test_scenarios.py", *files("demo", "faults_demo", "traces", "grafana"))
# beside it those that mostly wait
EARLY = files("commission", "rotation", "store_faults", "stores", "loss", "scan", "serial_site", "soak", "kill_trip",
              "own_functions", "remote", "mqtt_security")  # fmt: skip
# then what computes and compiles; it gives way to what runs in real time
NICE = ("tests/conformance/test_mutants.py", *files("wheel", "sanitizers", "fuzz"))
# when all that is over: systems that boot, and benches, whose time is real
LAST = files("can", "bench_loopback", "systemd", "bench_safety", "bench_inverter", "bench_faults", "bench_report")


def jobs() -> list[tuple[str, ...]]:
    """The files of each, in the order in which they begin: all of the tier but those that are alone."""
    found = (
        path for path in sorted(TESTS.rglob("test_*.py")) if path.parent.name == "system" or MARK in path.read_text()
    )
    known = (*ALONE, *POOLED, *EARLY, *NICE, *LAST)
    others = (name for path in found if not (name := str(path.relative_to(ROOT))).startswith(known))
    return [POOLED, *((name,) for name in (*EARLY, *NICE, *others, *LAST))]


def main(words: Sequence[str]) -> int:
    if words:
        return run(*words)
    with TemporaryDirectory() as folder:
        codes = beside_each_other(jobs(), Path(folder))
        again = [name for i, code in enumerate(codes) if code == FAILED for name in failed_files(Path(folder) / f"{i}")]
    if again:
        print("=== once more, alone:", *again, flush=True)
        codes = [*(code for code in codes if code != FAILED), run(*again)]
    codes.append(run(*ALONE))
    return next((code for code in codes if code), 0)


def run(*words: str) -> int:
    return subprocess.run([*PYTEST, *words], cwd=ROOT, check=False).returncode


def beside_each_other(each: Sequence[tuple[str, ...]], folder: Path) -> list[int]:
    """The code of each. What each printed stands together, as soon as it is over."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        playing = [pool.submit(play, names, folder / f"{i}") for i, names in enumerate(each)]
        try:
            for job in as_completed(playing):
                print(job.result()[1], flush=True)
        except KeyboardInterrupt:  # those that run have heard it, and tidy up
            pool.shutdown(cancel_futures=True)
            raise
        return [job.result()[0] for job in playing]


def play(names: tuple[str, ...], cache: Path) -> tuple[int, str]:
    """(pytest's code, what it printed under a head line). cache: where pytest notes what has failed."""
    begin = time.monotonic()
    nice = ("nice",) if names[0] in NICE else ()
    command = [*nice, *PYTEST, *names, "-o", f"cache_dir={cache}"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    with process.stdout as out:
        said = out.read().decode(errors="replace")
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = code = os.waitstatus_to_exitcode(status)
    took = f"{time.monotonic() - begin:.0f} s, {used.ru_utime + used.ru_stime:.0f} s of processor time"
    return code if code != NONE else 0, f"=== {took}: {' '.join(names)}\n{said}"


def failed_files(cache: Path) -> list[str]:
    """Those with a test that pytest has noted as failed."""
    return sorted({name.partition("::")[0] for name in json.loads((cache / "v/cache/lastfailed").read_text())})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

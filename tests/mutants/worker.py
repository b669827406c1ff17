"""The process that holds the mutated build: pytest collects once, then every mutant is a forked child.

Started  by report's caller, in the mutated tree, as `python -m tests.mutants.worker REAL_TREE JOBS TEST_FILE ...`.
Input    stdin: one line a mutant, "number source_stem".
Output   one JSON line a mutant: {"n", "result": killed | timeout | survived, "by", "seconds"}; first the unmutated
         build as n = -1. Its time sets the CPU limit of the others: an endless loop ends by SIGXCPU, not by a clock.
A child that has failed one test stops; the tests that kill most in a second come first: the order changes nothing else.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import hypothesis
import pytest

NUMBER = ctypes.c_int(-1)  # what MUTANT is in every module of this process and its children
GENEROUS, SPARE_S = 3, 20  # CPU limit of a mutant: so many times the unmutated build, and a little more


@dataclass
class Child:
    """One mutant under way."""

    n: int
    stem: str
    began_s: float
    pid: int


class Server:
    """A pytest plugin in place of pytest's own loop over the tests."""

    def __init__(self, queue: list[tuple[int, str]], jobs: int, out: TextIO) -> None:
        self.queue, self.jobs, self.out = queue, jobs, out
        self.failed = ""  # in a child: the first test that failed
        self.seconds: Counter[str] = Counter()  # of every test in the unmutated build
        self.kills: Counter[tuple[str, str]] = Counter()  # (source, test)
        self.limit_s = 0
        self.children: dict[int, Child] = {}

    def pytest_collection(self) -> None:
        """A failing example is enough: no shrinking, and no memory of the last mutant's examples."""
        phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
        house = hypothesis.settings.get_profile("house")
        hypothesis.settings.register_profile("mutants", house, phases=phases, database=None)
        hypothesis.settings.load_profile("mutants")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration  # type: ignore[assignment]  # a Counter adds floats as well
        if report.failed:
            self.failed = self.failed or report.nodeid

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            self.tell(-1, "broken", "the collection of the tests", 0.0)
            return True
        os.environ.pop("V2G_MUTANT_AT")  # an address in this process: nothing for the children of a test
        self.start(session, -1, "")
        if self.wait() != "survived":
            return True
        while self.queue or self.children:
            if self.queue and len(self.children) < self.jobs:
                self.start(session, *self.queue.pop(0))
            else:
                self.wait()
        return True

    def start(self, session: pytest.Session, n: int, stem: str) -> None:
        began_s = time.monotonic()
        pid = os.fork()
        if pid:
            self.children[pid] = Child(n, stem, began_s, pid)
            return
        try:
            NUMBER.value = n
            if self.limit_s:
                resource.setrlimit(resource.RLIMIT_CPU, (self.limit_s, self.limit_s + 5))
            self.run(session.items if n < 0 else sorted(session.items, key=lambda i: -self.promise(i, stem)))
            told(n).write_text(json.dumps({"failed": self.failed, "seconds": self.seconds if n < 0 else {}}))
        finally:
            os._exit(0)

    def promise(self, item: pytest.Item, stem: str) -> float:
        """How likely this test kills a mutant of this source, per second."""
        likely = self.kills[stem, item.nodeid] + 0.1 * self.kills["", item.nodeid] + 0.05
        return (likely + 0.5 * (item.path.stem == f"test_{stem}")) / (self.seconds[item.nodeid] + 0.002)

    def run(self, items: list[pytest.Item]) -> None:
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self.failed:
                return

    def wait(self) -> str:
        """The next child that ends: takes its answer and passes it on."""
        pid, status, usage = os.wait4(-1, 0)
        child = self.children.pop(pid)
        by = f"signal {-os.waitstatus_to_exitcode(status)}"
        if told(child.n).exists():
            answer = json.loads(told(child.n).read_text())
            told(child.n).unlink()
            by = answer["failed"]
            self.seconds.update(answer["seconds"])
        if child.n < 0:
            self.limit_s = round(GENEROUS * usage.ru_utime) + SPARE_S
        self.kills.update([(child.stem, by), ("", by)])
        late = os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)
        result = "timeout" if late else "killed" if by else "survived"
        self.tell(child.n, result, by, time.monotonic() - child.began_s)
        return result

    def tell(self, n: int, result: str, by: str, seconds: float) -> None:
        print(json.dumps({"n": n, "result": result, "by": by, "seconds": round(seconds, 2)}), file=self.out, flush=True)


def told(n: int) -> Path:
    """Where a child leaves its answer."""
    return Path(f"answer.{n}.json")


def main(real_tree: str, jobs: str, *tests: str) -> int:
    queue = [(int(n), stem) for n, stem in map(str.split, sys.stdin)]
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what tests print goes to the log
    os.environ["V2G_MUTANT_AT"] = f"{ctypes.addressof(NUMBER):x}"
    sys.path.append(real_tree)  # everything but the core and its tests is the real one
    sys.dont_write_bytecode = True
    options = ["-s", "-p", "no:cacheprovider", "-m", "not nightly and not system", "--rootdir", "."]
    return pytest.main([*options, *tests], plugins=[Server(queue, int(jobs), out)])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

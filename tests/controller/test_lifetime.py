"""A process of ours ends when it is told, wherever the signal meets it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from controller.lifetime import PARENT, StopEvent, signals_wait, stop_on_signals, stops

ROOT = Path(__file__).parents[2]
BOUND_S = 60.0  # for a broken build, not a figure

# a signal every 0.2 ms meets the thread in every line of its wait; with a lock inside it stands still before long
STRUCK = """
import signal
from controller.lifetime import StopEvent
stop, struck = StopEvent(), []
def handler(*_):
    struck.append(1)
    stop.set()
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
while len(struck) < 3000:
    stop._stopped = False
    stop.wait(0.00005)
signal.setitimer(signal.ITIMER_REAL, 0)
print(len(struck))
"""


def test_a_signal_that_meets_the_wait_itself_stops_nothing_else() -> None:
    ran = subprocess.run([sys.executable, "-c", STRUCK], cwd=ROOT, capture_output=True, text=True, timeout=BOUND_S)
    assert int(ran.stdout) >= 3000, ran.stderr


@pytest.mark.parametrize("timeout_s", [None, 30.0])
def test_every_waiter_is_woken(timeout_s: float | None) -> None:
    stop, woken = StopEvent(), []
    threads = [threading.Thread(target=lambda: woken.append(stop.wait(timeout_s))) for _ in range(3)]
    for thread in threads:
        thread.start()
    stop.set()
    for thread in threads:
        thread.join(BOUND_S)
    assert woken == [True, True, True]
    assert stop.is_set()
    assert stop.wait(0.0)


def test_nobody_has_stopped_it_yet() -> None:
    assert not StopEvent().wait(0.0)


@pytest.mark.parametrize(("parent", "lives"), [("", True), ("1", False)], ids=["it is there", "it has ended already"])
def test_a_parent_that_ended_before_anybody_asked_is_missed_too(parent: str, lives: bool) -> None:
    code = "from controller.lifetime import die_with_parent; die_with_parent(); print('lives')"
    environment = os.environ | {PARENT: parent or str(os.getpid())}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == ((0, "lives\n") if lives else (-signal.SIGTERM, ""))


def test_ctrl_c_while_a_process_is_started_is_heard_when_it_is_noted() -> None:
    noted: list[str] = []

    def start() -> None:
        with signals_wait():
            signal.raise_signal(signal.SIGINT)
            noted.append("the process")

    with pytest.raises(KeyboardInterrupt):
        start()
    assert noted == ["the process"]
    with pytest.raises(KeyboardInterrupt):  # and afterwards it is heard as before
        signal.raise_signal(signal.SIGINT)


def test_a_thread_that_hears_no_signals_waits_for_none() -> None:
    done: list[bool] = []

    def inside() -> None:
        with signals_wait():
            done.append(True)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join(BOUND_S)
    assert done == [True]


def test_the_first_signal_is_remembered() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        stopping = stop_on_signals()
        assert (stopping.is_set(), stopping.number) == (False, 0)
        for number in (signal.SIGHUP, signal.SIGINT):
            os.kill(os.getpid(), number)
        assert (stopping.wait(BOUND_S), stopping.number) == (True, signal.SIGHUP)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def test_under_nohup_a_terminal_may_go() -> None:
    assert stops() == (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert stops() == (signal.SIGTERM, signal.SIGINT)
    finally:
        signal.signal(signal.SIGHUP, before)

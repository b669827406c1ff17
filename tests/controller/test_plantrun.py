"""Signals while power may be moved: they are seen where it can be stopped, and interrupt nothing else."""

from __future__ import annotations

import os
import signal

import pytest

from controller.plantrun import SIGNALS, Stopped, stoppable


@pytest.mark.parametrize("number", SIGNALS)
def test_inside_a_signal_is_seen_and_interrupts_nothing(number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in SIGNALS]
    with stoppable() as stopping:
        os.kill(os.getpid(), number)
        assert stopping.wait(60.0)
        assert str(Stopped(stopping.number)) == f"stopped by {number.name}"
    assert [signal.getsignal(each) for each in SIGNALS] == before, "outside, Ctrl-C ends a question at once"

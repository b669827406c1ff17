"""When an injector does what, on a house that only writes it down. Times are real and short: order alone is judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from controller.injector import Injector
from drivers.sim.bar import Bar
from drivers.sim.faultscript import Action, parse
from drivers.sim.plant import Session
from drivers.sim.proxy import Proxy


class Diary:
    """Every call, in order."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def wrote(self, *words: object) -> None:
        self.calls.append(" ".join(map(str, words)))


class Wire:
    def __init__(self, diary: Diary) -> None:
        self.diary = diary

    def begin(self, action: Action) -> None:
        self.diary.wrote("begin", action.text)

    def end(self, action: Action) -> None:
        self.diary.wrote("end", action.text)


class Knobs:
    def __init__(self, diary: Diary) -> None:
        self.diary = diary

    def set(self, name: str, value: float) -> None:
        self.diary.wrote(name, Session(int(value)).name if name == "session" else value)


class PaperHouse:
    """A House of nothing but a diary."""

    def __init__(self) -> None:
        self.diary = Diary()
        self.bar = cast(Bar, Knobs(self.diary))
        self.proxies = cast(Mapping[str, Proxy], {"meter": Wire(self.diary), "inverter": Wire(self.diary)})

    def __getattr__(self, name: str) -> Any:
        return lambda what: self.diary.wrote(name, what)


def played(script: str, seconds: float = 0.0) -> list[str]:
    house = PaperHouse()
    injector = Injector(house, parse(script, "f"))
    injector.start()
    injector.play()
    injector.rest(seconds)
    injector.release()
    return house.diary.calls


# fmt: off
SCRIPTS = [
    # script                                what happens                                 why
    ("at 0s: meter.nan 10ms",                ["begin meter.nan 10ms", "end meter.nan 10ms"], "for its time"),
    ("at 0s: meter.half_open",               ["begin meter.half_open"], "nothing to mend"),
    ("at 0s: inverter.unplug 10ms",          ["session UNPLUGGED", "session PLUGGED"], "a knob of the plant"),
    ("at 0s: inverter.charge_limit 700W 10ms", ["charge_limit_w 700.0", "charge_limit_w inf"], "another one"),
    ("at 0s: broker.down 10ms",              ["kill broker", "restart broker"], "killed and started"),
    ("at 0s: process.hang controller 10ms",  ["freeze controller", "thaw controller"], "stopped, goes on"),
    ("at 0s: process.kill telemetry 10ms",   ["kill telemetry", "restart telemetry"], "killed and started"),
    ("at 0s: clock.step -1h",                ["step_clock -3600.0"], "once"),
    ("at 0s: meter.nan; inverter.delay 1s",  ["begin meter.nan", "begin inverter.delay 1s",
                                             "end meter.nan", "end inverter.delay 1s"], "mended at the end"),
    ("at 0s: process.kill controller",       ["kill controller"], "dead at the end"),
    ("at 0s: process.hang bridge",           ["freeze bridge", "thaw bridge"], "or it could not end"),
    ("at 20ms: meter.nan 10ms\nat 25ms: meter.inf 60ms",["begin meter.nan 10ms", "begin meter.inf 60ms",
                                             "end meter.nan 10ms", "end meter.inf 60ms"], "one over the other"),
    ("at start: meter.silent 10ms\nat 20ms: meter.inf",
                                            ["begin meter.silent 10ms", "end meter.silent 10ms",
                                             "begin meter.inf", "end meter.inf"], "before all others"),
    ("at 1h: meter.nan",                     [], "not yet"),
]
# fmt: on


@pytest.mark.parametrize(("script", "calls", "why"), SCRIPTS, ids=[c[-1] for c in SCRIPTS])
def test_a_script(script: str, calls: list[str], why: str) -> None:
    assert played(script, 0.15) == calls, why


def test_what_stands_is_said_in_the_words_of_the_script() -> None:
    injector = Injector(PaperHouse())
    for action in parse("at 0s: meter.nan f; inverter.half_open; inverter.silent reads", "f"):
        injector.begin(action)
    assert injector.words == "meter.nan f; inverter.silent reads"
    injector.mend()
    assert injector.words == ""


def test_what_was_played_and_when_is_kept_for_the_report() -> None:
    injector = Injector(PaperHouse(), parse("at 0s: meter.nan 20ms; clock.step -1h; process.kill controller", "f"))
    injector.play()
    injector.rest(0.05)
    nan, step, kill = injector.played
    assert [p.text for p in injector.played] == ["meter.nan 20ms", "clock.step -1h", "process.kill controller"]
    assert nan.end_s is not None
    assert nan.end_s - nan.begin_s >= 0.02
    assert step.end_s == step.begin_s, "a moment"
    assert kill.end_s is None, "it still stands"
    injector.release()
    assert kill.end_s is not None

"""Plays a fault script on a simulated house: spoils its wires, its car, its broker, its clock and our own processes.

    injector = Injector(house, parse(text, "faults.txt"))
    injector.start()                     # before the controller is started: what stands at `start`
    injector.play(); injector.rest(10.0) # from here on times count; rest() waits, and does what is due meanwhile
    injector.release()                   # mend all, before the house is stopped

Only the surroundings of the controller and its life are touched, never what is inside it.
Errors   ProxyError: a wire cannot have the fault. BrokerError, ProcessError: something does not start again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from math import inf
from typing import Protocol

from drivers.sim.bar import Bar
from drivers.sim.faultscript import START_S, Action
from drivers.sim.plant import Session
from drivers.sim.proxy import Proxy

KNOBS: dict[
    str, tuple[str, float | None, float]
] = {  # a word of the bar, its value meanwhile (None: the fault's), after
    "unplug": ("session", Session.UNPLUGGED, Session.PLUGGED),
    "asleep": ("session", Session.ENDED, Session.PLUGGED),
    "charge_limit": ("charge_limit_w", None, inf),
    "discharge_limit": ("discharge_limit_w", None, inf),
}


class House(Protocol):
    """What an injector needs of a simulated house. A part is one of PROCESSES, or "broker"."""

    @property
    def bar(self) -> Bar: ...

    @property
    def proxies(self) -> Mapping[str, Proxy]:
        """By target: "meter", "inverter"."""
        ...

    def kill(self, part: str) -> None: ...

    def restart(self, part: str) -> None: ...

    def freeze(self, part: str) -> None:
        """SIGSTOP."""
        ...

    def thaw(self, part: str) -> None: ...

    def step_clock(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True, order=True)
class Due:
    """Something to do at a time of CLOCK_MONOTONIC."""

    t_s: float
    order: int
    action: Action
    begins: bool


@dataclass(slots=True)
class Played:
    """A fault that was put in force, and its times of CLOCK_MONOTONIC. end_s: the same for what happens once."""

    text: str
    begin_s: float
    end_s: float | None = None  # it still stands


class Injector:
    """One script on one house. A script may be empty: then begin() and end() are called by hand."""

    def __init__(self, house: House, script: Iterable[Action] = ()) -> None:
        self.house, self.script = house, tuple(script)
        self.due: list[Due] = []
        self.order = count()
        self.standing: list[Action] = []
        self.played: list[Played] = []

    # ---- one fault ----

    def begin(self, action: Action) -> None:
        """Put it in force; what happens once has then happened."""
        house, now_s = self.house, time.monotonic()
        self.played.append(Played(action.text, now_s, None if action.verb.lasts else now_s))
        match action.target:
            case "meter" | "inverter" if action.fault in KNOBS:
                word, value, _ = KNOBS[action.fault]
                house.bar.set(word, action.value if value is None else value)
            case "meter" | "inverter":
                house.proxies[action.target].begin(action)
            case "broker":
                house.kill("broker")
            case "clock":
                house.step_clock(action.value)
            case "process":
                (house.kill if action.fault == "kill" else house.freeze)(action.part)
        if action.verb.lasts:
            self.standing.append(action)

    def end(self, action: Action) -> None:
        """Mend it."""
        self._over(action)
        house = self.house
        match action.target:
            case "meter" | "inverter" if action.fault in KNOBS:
                word, _, rest = KNOBS[action.fault]
                house.bar.set(word, rest)
            case "meter" | "inverter":
                house.proxies[action.target].end(action)
            case "broker":
                house.restart("broker")
            case "process":
                (house.restart if action.fault == "kill" else house.thaw)(action.part)

    def _over(self, action: Action) -> None:
        self.standing.remove(action)
        newest = next(p for p in reversed(self.played) if p.text == action.text)
        newest.end_s = time.monotonic()

    # ---- a script ----

    def start(self) -> None:
        """What is there before the controller; its duration counts from now."""
        for action in self.script:
            if action.at_s == START_S:
                self._plan(action, time.monotonic())
        self.advance()

    def play(self) -> None:
        """From now on times count."""
        for action in self.script:
            if action.at_s != START_S:
                self._plan(action, time.monotonic() + action.at_s)

    def add(self, actions: Iterable[Action]) -> None:
        """More of them, on the way; their times count from now."""
        now_s = time.monotonic()
        for action in actions:
            self._plan(action, now_s + max(action.at_s, 0.0))
        self.advance()

    def _plan(self, action: Action, t_s: float) -> None:
        self.due.append(Due(t_s, next(self.order), action, True))
        if action.for_s is not None:
            self.due.append(Due(t_s + action.for_s, next(self.order), action, False))
        self.due.sort()

    def advance(self) -> float | None:
        """Do what is due; the time of what comes next."""
        while self.due and self.due[0].t_s <= time.monotonic():
            due = self.due.pop(0)
            (self.begin if due.begins else self.end)(due.action)
        return self.due[0].t_s if self.due else None

    def rest(self, seconds: float) -> None:
        """Wait so long; what becomes due meanwhile is done at its time."""
        until = time.monotonic() + seconds
        while True:
            next_s = self.advance()
            left_s = min(until, until if next_s is None else next_s) - time.monotonic()
            if left_s > 0.0:
                time.sleep(left_s)
            elif until <= time.monotonic():
                return

    @property
    def words(self) -> str:
        """What stands now, for a reader."""
        return "; ".join(action.text for action in self.standing)

    def mend(self) -> None:
        """End all that stands; what was killed is started again."""
        for action in list(self.standing):
            self.end(action)

    def release(self) -> None:
        """Mend what stands and forget the rest; processes that were killed stay so."""
        self.due.clear()
        for action in list(self.standing):
            if action.fault == "kill" or action.target == "broker":
                self._over(action)
            else:
                self.end(action)

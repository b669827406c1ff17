"""The fault language: what goes wrong, where, when and for how long. Pure; no sockets, no clock.

    # lines of text; everything behind a # is a comment
    at 12s: meter.freeze 3s; inverter.delay 400ms; broker.down 10min
    at 30s: clock.step -1h; process.kill controller
    at start: meter.silent 5s

Line     `at TIME: ACTION; ACTION ...`. Times count from the moment the grid begins to play; `start` is before the
         controller is started. `start` lines stand first, and times do not fall.
Action   `target.fault [part] [value] [duration]`, as VERBS says. Without a duration a fault stays to the end.
Units    times 400ms, 3s, 10min, 1h; power 3000W; state of charge 100%.
Errors   ScriptError: every mistake of the text, one line each, `file:line: what; allowed: what`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
LONGEST_S = 86400.0
START_S = -1.0  # Action.at_s of an action that is there before the controller
TIME = re.compile(r"(\d+(?:\.\d+)?)(ms|s|min|h)")
LINE = re.compile(r"at\s+(\S+?)\s*:\s*(.*)")


class ScriptError(Exception):
    """A script cannot be played: whoever wrote it must act."""


@dataclass(frozen=True, slots=True)
class Value:
    """What kind of value a fault takes. pattern has one group: the number. In `unit` it lies in low ... high."""

    name: str
    pattern: str
    unit: str
    low: float
    high: float

    @property
    def allowed(self) -> str:
        return f"{self.name} of {self.low:g} ... {self.high:g} {self.unit}".rstrip()


LATE = Value("a time", r"(\d+(?:\.\d+)?)(ms|s|min|h)", "s", 0.0001, 60.0)
JUMP = Value("a time with its sign", r"([+-]\d+(?:\.\d+)?)(ms|s|min|h)", "s", -LONGEST_S, LONGEST_S)
CODE = Value("a Modbus exception", r"(\d+)", "", 1, 11)
POWER = Value("a power", r"([+-]?\d+(?:\.\d+)?)W", "W", -100_000, 100_000)
LIMIT = Value("a power", r"(\d+(?:\.\d+)?)W", "W", 0, 100_000)
CHARGE = Value("a state of charge", r"(\d+(?:\.\d+)?)%", "%", 0, 100)


@dataclass(frozen=True, slots=True)
class Verb:
    """One fault of one target. parts: the words of which one may (needs_part: must) say which part is meant."""

    name: str
    does: str
    value: Value | None = None
    parts: tuple[str, ...] = ()
    needs_part: bool = False
    lasts: bool = True  # False: it happens once, and a duration means nothing
    tcp_only: bool = False

    @property
    def form(self) -> str:
        """How it is written, in short."""
        part = "|".join(self.parts)
        words = [part if self.needs_part else f"[{part}]"] if part else []
        words += [self.value.name.upper().replace(" ", "-").removeprefix("A-")] if self.value else []
        words += ["[DURATION]"] if self.lasts else []
        return " ".join([self.name, *words])


def of_device(target: str, parts: tuple[str, ...]) -> Iterator[Verb]:
    """What can happen to any Modbus device and its wire. parts: of its requests."""
    frames = [
        ("delay", "every answer comes so much later", LATE, False),
        ("drip", "every answer comes byte by byte, so much apart", LATE, False),
        ("silent", "requests are taken and not carried out, nothing is answered", None, False),
        ("exception", "requests are refused with this exception", CODE, False),
        ("truncate", "every answer ends after its first half", None, False),
        ("garbage", "random bytes stand in place of every answer", None, False),
        ("wrong_id", "every answer carries the transaction number of another request", None, True),
        ("wrong_unit", "every answer comes from another unit", None, False),
        ("duplicate", "every answer comes twice", None, False),
        ("reorder", "every second answer is held back until the next one is sent", None, False),
        ("freeze", "every answer is repeated bit by bit as it was when the fault began", None, False),
    ]
    for name, does, value, tcp_only in frames:
        yield Verb(f"{target}.{name}", does, value, parts, tcp_only=tcp_only)
    yield Verb(f"{target}.reset", "every request is answered by a reset of the connection", tcp_only=True)
    yield Verb(f"{target}.refuse", "nobody listens: connections are cut, new ones refused", tcp_only=True)
    yield Verb(
        f"{target}.half_open", "the connections that stand carry nothing any more, new ones do", lasts=False,
        tcp_only=True,
    )  # fmt: skip


def of_values(target: str, parts: tuple[str, ...], nan: str) -> Iterator[Verb]:
    """What can be wrong with the values in answers that are right in form."""
    yield Verb(f"{target}.nan", nan, parts=parts)
    yield Verb(f"{target}.out_of_range", "values are far larger than can be", parts=parts)
    yield Verb(f"{target}.scale10", "values are ten times too large", parts=parts)


PROCESSES = ("controller", "telemetry", "bridge")
VERBS: dict[str, Verb] = {
    verb.name: verb
    for verb in (
        *of_device("meter", ()),
        *of_values("meter", ("f", "v", "p"), "values are not a number"),
        Verb("meter.inf", "values are infinite", parts=("f", "v", "p")),
        *of_device("inverter", ("reads", "writes")),
        *of_values("inverter", ("p", "soc"), 'values are SunSpec\'s "not implemented"'),
        Verb("inverter.soc_glitch", "the state of charge reads so", CHARGE),
        Verb("inverter.charge_limit", "the car takes at most this power", LIMIT),
        Verb("inverter.discharge_limit", "the car gives at most this power", LIMIT),
        Verb("inverter.fault", "the inverter reports a fault"),
        Verb("inverter.local", "somebody at the inverter has taken control"),
        Verb("inverter.overwrite", "another master writes this set-point", POWER, lasts=False, tcp_only=True),
        Verb("inverter.unplug", "the car is unplugged, and plugged in again"),
        Verb("inverter.asleep", "the car ends its session, and begins another"),
        Verb("broker.down", "the broker is killed, and started again"),
        Verb("clock.step", "the wall clock of every process of ours jumps", JUMP, lasts=False),
        Verb("process.kill", "SIGKILL, and started again", parts=PROCESSES, needs_part=True),
        Verb("process.hang", "SIGSTOP, and SIGCONT", parts=PROCESSES, needs_part=True),
    )
}
TARGETS = tuple(dict.fromkeys(name.partition(".")[0] for name in VERBS))


@dataclass(frozen=True, slots=True)
class Action:
    """One fault of a script. value is in the unit of the verb's Value; for_s None: to the end."""

    at_s: float
    verb: Verb
    part: str = ""
    value: float = 0.0
    for_s: float | None = None
    text: str = ""
    place: str = ""

    @property
    def target(self) -> str:
        return self.verb.name.partition(".")[0]

    @property
    def fault(self) -> str:
        return self.verb.name.partition(".")[2]


def parse(text: str, file: str) -> tuple[Action, ...]:
    """The actions of a script, in order; at least one."""
    found: list[Action] = []
    wrong: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        place = f"{file}:{number}"
        try:
            actions = parse_line(line.partition("#")[0].strip(), place)
        except ScriptError as error:
            wrong.append(str(error))
            continue
        if actions and found and actions[0].at_s < found[-1].at_s:
            wrong.append(f"{place}: earlier than the line before; allowed: times that do not fall, `start` first")
        found += actions
    if wrong or not found:
        raise ScriptError("\n".join(wrong or [f"{file}:1: no action; allowed: lines like `at 12s: meter.freeze 3s`"]))
    return tuple(found)


def parse_line(line: str, place: str) -> list[Action]:
    if not line:
        return []
    match = LINE.fullmatch(line)
    if match is None:
        raise ScriptError(f"{place}: '{line}'; allowed: `at TIME: target.fault ...`, like `at 12s: meter.freeze 3s`")
    when, actions = match.groups()
    at_s = START_S if when == "start" else seconds(when)
    if at_s is None or at_s > LONGEST_S:
        raise ScriptError(f"{place}: at '{when}'; allowed: start, or a time like 400ms, 3s, 10min, 1h, at most a day")
    return [parse_action(part.strip(), at_s, place) for part in actions.split(";")]


def seconds(text: str) -> float | None:
    """A time without a sign; None when it is none."""
    match = TIME.fullmatch(text)
    return float(match[1]) * SECONDS[match[2]] if match else None


def parse_action(text: str, at_s: float, place: str) -> Action:
    name, *words = text.split() or [""]
    verb = VERBS.get(name)
    if verb is None:
        raise ScriptError(f"{place}: '{name}'; allowed: {known(name)}")
    part = words.pop(0) if words and words[0] in verb.parts else ""
    value = number(verb.value, words.pop(0)) if verb.value and words else None
    for_s = seconds(words.pop(0)) if verb.lasts and words else None
    complete = (part or not verb.needs_part) and (value is not None or verb.value is None)
    understood = 1 + sum((part != "", value is not None, for_s is not None))
    if not complete or understood != len(text.split()):
        raise ScriptError(f"{place}: '{text}'; allowed: {usage(verb)}")
    if for_s is not None and not 0.0 < for_s <= LONGEST_S:
        raise ScriptError(f"{place}: '{text}'; allowed: a duration above 0 and at most a day")
    return Action(at_s, verb, part, value or 0.0, for_s, text, place)


def number(kind: Value, text: str) -> float | None:
    """A value in its kind's unit; None when it is none of this kind or outside its range."""
    match = re.fullmatch(kind.pattern, text)
    if match is None:
        return None
    value = float(match[1]) * (SECONDS[match[2]] if match.re.groups == 2 else 1.0)
    return value if kind.low <= value <= kind.high else None


def usage(verb: Verb) -> str:
    return f"{verb.form}, {verb.value.allowed}" if verb.value else verb.form


def known(name: str) -> str:
    """The faults of the target that was meant, or the targets."""
    target = name.partition(".")[0]
    if target not in TARGETS:
        return f"target.fault with one of {', '.join(TARGETS)}"
    return ", ".join(verb for verb in VERBS if verb.startswith(f"{target}."))


def table() -> str:
    """The vocabulary as docs/faults.md has it."""
    rows = [
        f"| `{verb.form.replace('|', chr(92) + '|')}` | {verb.does} | {verb.value.allowed if verb.value else ''} | "
        f"{'TCP' if verb.tcp_only else ''} |"
        for verb in VERBS.values()
    ]
    return "\n".join(["| fault | what happens | value | only on |", "| --- | --- | --- | --- |", *rows]) + "\n"


if __name__ == "__main__":
    print(table(), end="")

"""The fault language: what is understood, what is refused and in which words, and the table of its document."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.sim.faultscript import START_S, VERBS, ScriptError, parse, table

DOCUMENT = Path(__file__).parents[3] / "docs" / "faults.md"

# fmt: off
UNDERSTOOD = [
    # line | at_s | verb | part | value | for_s | why
    ("at 12s: meter.freeze 3s", 12.0, "meter.freeze", "", 0.0, 3.0, "for a time"),
    ("at 1min: meter.freeze", 60.0, "meter.freeze", "", 0.0, None, "to the end"),
    ("at 0s: inverter.delay 400ms", 0.0, "inverter.delay", "", 0.4, None, "a value alone"),
    ("at 0s: inverter.delay 400ms 2s", 0.0, "inverter.delay", "", 0.4, 2.0, "value, then duration"),
    ("at 0s: inverter.silent reads 2s", 0.0, "inverter.silent", "reads", 0.0, 2.0, "a part of it"),
    ("at 1.5s: meter.nan f", 1.5, "meter.nan", "f", 0.0, None, "one quantity"),
    ("at 0s: meter.exception 4 10s", 0.0, "meter.exception", "", 4.0, 10.0, "an exception code"),
    ("at 0s: inverter.overwrite -3000W", 0.0, "inverter.overwrite", "", -3000., None, "a power, + = export"),
    ("at 0s: inverter.soc_glitch 0% 1s", 0.0, "inverter.soc_glitch", "", 0.0, 1.0, "a state of charge of 0"),
    ("at 0s: broker.down 10min", 0.0, "broker.down", "", 0.0, 600.0, "minutes"),
    ("at 0s: clock.step -1h", 0.0, "clock.step", "", -3600., None, "back"),
    ("at 0s: process.kill controller 3s", 0.0, "process.kill", "controller", 0., 3.0, "started again"),
    ("at start: meter.silent 5s", START_S, "meter.silent", "", 0.0, 5.0, "before the controller"),
    ("  at 3s :meter.refuse   # no port", 3.0, "meter.refuse", "", 0.0, None, "spaces, a comment"),
]
REFUSED = [
    # text | line | says | why
    ("", 1, "no action; allowed: lines like", "an empty script"),
    ("# nothing\n", 1, "no action", "comments alone"),
    ("meter.freeze 3s", 1, "'meter.freeze 3s'; allowed: `at TIME: ", "no time"),
    ("\nat 12: meter.freeze", 2, "at '12'; allowed: start, or a time like 400ms", "a time without a unit"),
    ("at -1s: meter.freeze", 1, "at '-1s'", "before the beginning"),
    ("at 25h: meter.freeze", 1, "at most a day", "too late"),
    ("at 1s: metre.freeze", 1, "allowed: target.fault with one of meter, inverter, broker, clock, process", "a target"),
    ("at 1s: meter.unplug", 1, "'meter.unplug'; allowed: meter.delay, meter.drip, ", "a fault of another target"),
    ("at 1s: meter.delay", 1, "allowed: meter.delay TIME [DURATION], a time of 0.0001 ... 60 s", "no value"),
    ("at 1s: meter.delay 2min", 1, "a time of 0.0001 ... 60 s", "a value out of its range"),
    ("at 1s: meter.exception 12", 1, "a Modbus exception of 1 ... 11", "no such exception"),
    ("at 1s: meter.freeze f 3s", 1, "allowed: meter.freeze [DURATION]", "a fault without parts"),
    ("at 1s: meter.nan q 3s", 1, "allowed: meter.nan [f|v|p] [DURATION]", "no such part"),
    ("at 1s: meter.freeze 3s 4s", 1, "allowed: meter.freeze [DURATION]", "one word too many"),
    ("at 1s: meter.freeze 0s", 1, "a duration above 0 and at most a day", "no time at all"),
    ("at 1s: process.kill", 1, "allowed: process.kill controller|telemetry|bridge [DURATION]", "which process"),
    ("at 1s: process.kill bash", 1, "process.kill controller|telemetry|bridge", "not one of ours"),
    ("at 1s: clock.step 1h", 1, "a time with its sign", "which way"),
    ("at 1s: inverter.overwrite 5W 3s", 1, "allowed: inverter.overwrite POWER, ", "it happens once"),
    ("at 1s: meter.freeze;", 1, "''; allowed: target.fault", "an action is missing"),
    ("at 5s: meter.nan\nat 4s: meter.nan", 2, "earlier than the line before", "time falls"),
    ("at 0s: meter.nan\nat start: meter.inf", 2, "`start` first", "start behind a time"),
]
# fmt: on


@pytest.mark.parametrize(
    ("line", "at_s", "verb", "part", "value", "for_s", "why"), UNDERSTOOD, ids=[c[0] for c in UNDERSTOOD]
)
def test_understood(line: str, at_s: float, verb: str, part: str, value: float, for_s: float | None, why: str) -> None:
    (action,) = parse(line, "f")
    found = (action.at_s, action.verb.name, action.part, action.value, action.for_s)
    assert found == (at_s, verb, part, value, for_s), why


@pytest.mark.parametrize(("text", "line", "says", "why"), REFUSED, ids=[c[-1] for c in REFUSED])
def test_refused(text: str, line: int, says: str, why: str) -> None:
    with pytest.raises(ScriptError) as error:
        parse(text, "faults.txt")
    (only,) = str(error.value).splitlines()
    assert only.startswith(f"faults.txt:{line}: "), why
    assert says in only, only


def test_every_mistake_at_once() -> None:
    with pytest.raises(ScriptError) as error:
        parse("at 1s: meter.oops\nat 2s: meter.freeze\nat 3s: clock.step", "f")
    assert [line.split(" ")[0] for line in str(error.value).splitlines()] == ["f:1:", "f:3:"]


def test_several_actions_in_the_order_they_stand() -> None:
    text = "at 12s: meter.freeze 3s; inverter.delay 400ms; broker.down 10min; clock.step -1h; process.kill controller"
    assert [a.text for a in parse(text, "f")] == text.removeprefix("at 12s: ").split("; ")
    assert {a.place for a in parse(text, "f")} == {"f:1"}


def test_targets_and_faults_of_an_action() -> None:
    (action,) = parse("at 0s: inverter.half_open", "f")
    assert (action.target, action.fault) == ("inverter", "half_open")


# ---- its document ----


def test_the_documents_table_is_the_vocabulary() -> None:
    """`python -m drivers.sim.faultscript` prints it."""
    assert table() in DOCUMENT.read_text()


def test_the_documents_example_can_be_played() -> None:
    example = DOCUMENT.read_text().split("```")[1]
    assert len(parse(example, "docs/faults.md")) >= 5


def test_every_fault_is_explained_in_words() -> None:
    assert all(len(verb.does.split()) >= 3 for verb in VERBS.values())

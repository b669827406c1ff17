"""What the drill owes for a fault on a site, and that no fault of the language is left out of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from controller.commands.drill import cases, line, simulated
from controller.drill import ANSWERS, CASES, Limits, Result, answer_of
from controller.errors import InputError
from controller.site import Site, load_site
from drivers.sim.faultscript import VERBS, Action, parse

SITE = load_site(Path("drill"))
ALL = parse("\n".join(f"at 0s: {line}" for line in CASES.splitlines()), "drill")


def action(text: str) -> Action:
    return parse(f"at 0s: {text}", "f")[0]


def test_every_fault_of_the_language_is_drilled() -> None:
    assert {a.verb.name for a in ALL} == set(VERBS)
    assert len({a.text for a in ALL}) == len(ALL) >= 60


# fmt: off
OWED = [
    # fault                         answer             why
    ("meter.delay 30ms",            "goes on",         "below the time-out of 100 ms"),
    ("meter.delay 100ms",           "meter gone",      "at it"),
    ("meter.drip 2ms",              "goes on",         "40 bytes in 80 ms"),
    ("meter.drip 3ms",              "meter gone",      "40 bytes in 120 ms"),
    ("meter.nan",                   "meter gone",      "design, section 6: whole meter"),
    ("meter.nan f",                 "f gone",          "row f"),
    ("meter.inf v",                 "V gone",          "row V"),
    ("meter.nan p",                 "goes on",         "the inverter knows its power"),
    ("meter.scale10 p",             "told and stopped", "ten times what is commanded"),
    ("inverter.silent",             "inverter gone",   "row inverter state"),
    ("inverter.silent writes",      "own timer",       "it hears nothing"),
    ("inverter.delay writes 5s",    "goes on",         "it hears; the echo is late"),
    ("inverter.soc_glitch 95%",     "full",            "soc_max_pu is 0.95"),
    ("inverter.soc_glitch 94%",     "goes on",         "below it"),
    ("inverter.charge_limit 1399W", "limited",         "the car is charged with 1400 W"),
    ("inverter.charge_limit 1400W", "goes on",         "no more is asked for"),
    ("inverter.discharge_limit 0W", "goes on",         "nobody asks for it"),
    ("inverter.scale10 soc",        "goes on",         "no power"),
    ("process.kill controller",     "own timer",       "nobody writes"),
    ("process.kill telemetry",      "goes on",         "nothing before it notices"),
]
# fmt: on


@pytest.mark.parametrize(("text", "answer", "why"), OWED, ids=[c[0] for c in OWED])
def test_what_is_owed(text: str, answer: str, why: str) -> None:
    assert answer_of(action(text), SITE) == answer, why
    assert answer in ANSWERS


def test_limits_by_hand() -> None:
    """drill.yaml: T of the meter 0.2 s: held 1 s; lost after 3 s; in flight 0.2 + 0.02 + 0.3; 1400 W at 1400 W/s."""
    limits = Limits.of(SITE)
    assert limits.held_s == pytest.approx(1.0)
    assert limits.in_flight_s == pytest.approx(0.52)
    assert ANSWERS["meter gone"].limit_s(limits) == pytest.approx(3.0 + 0.52 + 10.0)
    assert ANSWERS["inverter gone"].limit_s(limits) == pytest.approx(3.0 + 0.52 + 3.0 + 1.0)
    assert ANSWERS["overwritten"].limit_s(limits) == pytest.approx(1.0 + 0.52 + 0.05)


# fmt: off
REFUSED = [
    # change, says, why
    ({"start_mode": "live"}, "simulated devices only: `start_mode: demo`; on its own", "real power"),
    ({"start_mode": "shadow"}, "start_mode = shadow; a drill breaks", "a real device"),
    ({"meter": replace(SITE.meter, map="other")}, "map = other; the simulator is a eastron-sdm630", "another meter"),
    ({"meter": replace(SITE.meter, location="connection")}, "location: inverter, phases: L1", "another place"),
]
# fmt: on


@pytest.mark.parametrize(("change", "says", "why"), REFUSED, ids=[c[-1] for c in REFUSED])
def test_a_site_that_is_not_drilled(change: dict[str, object], says: str, why: str) -> None:
    with pytest.raises(InputError, match=r"drill\.yaml:[0-9]+: ") as error:
        simulated(replace(SITE, **change))  # type: ignore[arg-type]  # a table's row holds keys of several types
    assert says in str(error.value)


def test_a_serial_site_is_drilled_on_tcp() -> None:
    wired: Site = replace(SITE, meter=replace(SITE.meter, serial="/dev/ttyUSB0", host=None, unit=7))
    meter = simulated(wired).meter
    assert (meter.serial, meter.host, meter.unit) == (None, "127.0.0.1", 1)


# fmt: off
LINES = [
    # result                                                      verdict at its end                passed
    (Result("meter.nan", "x", 3.0, 2.5, 5.0),                     "ok",                             True),
    (Result("meter.nan", "x", 3.0, None, 5.0, "never"),           "MISSED: never",                  False),
    (Result("meter.nan", "x", 3.0, None, None, "no cc", False),   "not played: no cc",              None),
]
# fmt: on


@pytest.mark.parametrize(("result", "end", "passed"), LINES, ids=[c[1] for c in LINES])
def test_a_line_of_the_table(result: Result, end: str, passed: bool | None) -> None:
    assert line(result).endswith(f"  {end}")
    assert result.passed is passed


def test_the_faults_of_a_script_once_each(tmp_path: Path) -> None:
    from argparse import Namespace

    path = tmp_path / "f.txt"
    path.write_text("at 0s: meter.nan; meter.inf\nat 9s: meter.nan\n")
    assert [a.text for a in cases(Namespace(faults=path))] == ["meter.nan", "meter.inf"]

"""What the controller owes for each fault: one row a fault, with real processes, sockets and serial lines.

The answers are those of the design's section 6 (answers.py); by when each is owed is computed in owed.py from its
formulas and the rig's numbers. In every row besides: no bad answer moves power out of its bounds, no jump, calm again
within 15 s of the fault's end (but for a start) and by ramp, no process ends, no descriptor and no thread is left.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cython_core.records import Reason
from tests.faults.pool import Pool, Scenario

pytestmark = pytest.mark.system

LOST = Reason.F_LOST | Reason.V_LOST | Reason.METER_LOST
BAD = Reason.F_INVALID | Reason.V_INVALID | LOST
GONE = Reason.DEVICE_STALE | Reason.DEVICE_LOST
ALL = GONE | Reason.F_LOST
NONE, SAID, FULL, FROZEN = Reason(0), Reason.NOT_RUNNING, Reason.SOC_LIMIT, Reason.METER_FROZEN | LOST
LOCAL, LIMITED = Reason.LOCAL_CONTROL, Reason.DEVICE_LIMIT
LIAR, FOREIGN = Reason.POWER_MISMATCH, Reason.OVERWRITTEN
F_BAD, V_BAD = Reason.F_INVALID | Reason.F_LOST, Reason.V_INVALID | Reason.V_LOST
# fmt: off
METER = [
    # fault                                answer             named   why
    ("meter.delay 30ms",                   "goes on",         NONE,   "inside its time-out"),
    ("meter.delay 250ms",                  "meter gone",      LOST,   "every answer is too late"),
    ("meter.delay 5s",                     "meter gone",      LOST,   "and none is taken for a later one"),
    ("meter.silent",                       "meter gone",      LOST,   "connected and mute"),
    ("meter.silent 300ms",                 "goes on",         NONE,   "a moment"),
    ("meter.exception 4",                  "meter gone",      LOST,   "device failure"),
    ("meter.exception 6",                  "meter gone",      LOST,   "busy"),
    ("meter.exception 11",                 "meter gone",      LOST,   "a gateway without its device"),
    ("meter.truncate",                     "meter gone",      LOST,   "half an answer"),
    ("meter.garbage",                      "meter gone",      LOST,   "random bytes"),
    ("meter.wrong_id",                     "meter gone",      LOST,   "the answer to another question"),
    ("meter.wrong_unit",                   "meter gone",      LOST,   "the answer of another unit"),
    ("meter.duplicate",                    "goes on",         NONE,   "the second one is late"),
    ("meter.reorder",                      "goes on",         NONE,   "the retry is answered"),
    ("meter.drip 1ms",                     "goes on",         NONE,   "50 bytes in 50 ms"),
    ("meter.drip 20ms",                    "meter gone",      LOST,   "50 bytes in 1 s"),
    ("meter.nan",                          "meter gone",      BAD,    "not a number is no value"),
    ("meter.inf",                          "meter gone",      BAD,    "nor is infinity"),
    ("meter.out_of_range",                 "meter gone",      BAD,    "nor 1e9 Hz and V"),
    ("meter.scale10",                      "meter gone",      BAD,    "600 Hz, 2400 V"),
    ("meter.nan f",                        "f gone",          F_BAD,  "voltage is still good"),
    ("meter.inf f",                        "f gone",          F_BAD,  "the same"),
    ("meter.out_of_range f",               "f gone",          F_BAD,  "the same"),
    ("meter.scale10 f",                    "f gone",          F_BAD,  "the same"),
    ("meter.nan v",                        "V gone",          V_BAD,  "frequency is still good"),
    ("meter.inf v",                        "V gone",          V_BAD,  "the same"),
    ("meter.out_of_range v",               "V gone",          V_BAD,  "the same"),
    ("meter.scale10 v",                    "V gone",          V_BAD,  "the same"),
    ("meter.nan p",                        "goes on",         NONE,   "the inverter knows its own power"),
    ("meter.scale10 p",                    "told and stopped", LIAR, "far beyond what is commanded"),
    ("meter.freeze",                       "frozen",          FROZEN, "bit by bit the same"),
    ("meter.reset",                        "meter gone",      LOST,   "a connection for each request"),
    ("meter.reset 200ms",                  "goes on",         NONE,   "a moment"),
    ("meter.refuse",                       "meter gone",      LOST,   "nobody listens"),
    ("meter.refuse 200ms",                 "goes on",         NONE,   "a moment"),
    ("meter.half_open",                    "goes on",         NONE,   "found out, and connected anew"),
]
INVERTER = [
    ("inverter.delay 30ms",                "goes on",         NONE,   "inside its time-out"),
    ("inverter.delay 250ms",               "inverter unheard",GONE,   "every answer is too late"),
    ("inverter.silent",                    "inverter gone",   GONE,   "connected and mute"),
    ("inverter.silent 300ms",              "goes on",         NONE,   "a moment"),
    ("inverter.exception 4",               "inverter gone",   GONE,   "device failure"),
    ("inverter.exception 6",               "inverter gone",   GONE,   "busy"),
    ("inverter.truncate",                  "inverter unheard",GONE,   "half an answer"),
    ("inverter.garbage",                   "inverter unheard",GONE,   "random bytes"),
    ("inverter.wrong_id",                  "inverter unheard",GONE,   "the answer to another question"),
    ("inverter.wrong_unit",                "inverter unheard",GONE,   "the answer of another unit"),
    ("inverter.duplicate",                 "goes on",         NONE,   "the second one is late"),
    ("inverter.reorder",                   "goes on",         NONE,   "the retry is answered"),
    ("inverter.drip 0.3ms",                "goes on",         NONE,   "120 bytes in 40 ms"),
    ("inverter.drip 20ms",                 "inverter unheard",GONE,   "120 bytes in 2.4 s"),
    ("inverter.nan p",                     "goes on",         NONE,   "power is not needed to command"),
    ("inverter.out_of_range p",            "told and stopped", LIAR, "far beyond what is commanded"),
    ("inverter.scale10 p",                 "told and stopped", LIAR, "far beyond what is commanded"),
    ("inverter.nan soc",                   "goes on",         NONE,   "unknown: charge until the car stops"),
    ("inverter.soc_glitch 0%",             "goes on",         NONE,   "empty: charging is what is done"),
    ("inverter.soc_glitch 100%",           "full",            FULL,   "full: never charge on"),
    ("inverter.freeze",                    "goes on",         NONE,   "its answers may well be the same"),
    ("inverter.reset",                     "inverter gone",   GONE,   "a connection for each request"),
    ("inverter.reset 200ms",               "goes on",         NONE,   "a moment"),
    ("inverter.refuse",                    "inverter gone",   GONE,   "nobody listens"),
    ("inverter.half_open",                 "goes on",         NONE,   "found out, and connected anew"),
    ("inverter.silent reads",              "inverter echoes", GONE,   "it still acknowledges set-points"),
    ("inverter.exception reads 6",         "inverter echoes", GONE,   "the same"),
    ("inverter.silent writes",             "own timer",       NONE,   "it hears no set-point"),
    ("inverter.exception writes 6",        "own timer",       NONE,   "it refuses every set-point"),
    ("inverter.delay writes 250ms",        "goes on",         NONE,   "it hears them; only the echo is late"),
    ("inverter.fault",                     "no command",      SAID,   "it says so itself"),
    ("inverter.local",                     "no command",      LOCAL,  "somebody at the inverter has taken control"),
    ("inverter.unplug",                    "car gone",        SAID,   "no car"),
    ("inverter.asleep",                    "car gone",        SAID,   "the car has opened its contactors"),
    ("inverter.silent writes; inverter.overwrite 3000W", "foreign", FOREIGN, "until its own timer: we are not heard"),
    ("inverter.charge_limit 300W",         "limited",         LIMITED, "the car takes less than it is charged with"),
    ("inverter.discharge_limit 0W",        "goes on",         NONE,   "it is charged"),
    ("inverter.overwrite 3000W",           "overwritten",     NONE,   "another master, once"),
]
BOTH = [
    ("meter.silent; inverter.silent",      "both gone",       ALL,    "one switch, one power cut"),
    ("meter.nan; inverter.reset",          "both gone",       ALL,    "two different ones"),
    ("meter.garbage; inverter.garbage",    "both gone",       ALL,    "noise on both"),
    ("meter.refuse; inverter.refuse",      "both gone",       ALL,    "nobody listens"),
    ("meter.silent 300ms; inverter.silent 300ms", "goes on",         NONE,   "a moment"),
    ("meter.delay 30ms; meter.duplicate",  "goes on",         NONE,   "two faults of one device"),
]
START = [
    ("meter.silent",                       "nothing before all is fresh", NONE,   "no measurement"),
    ("meter.nan",                          "nothing before all is fresh", NONE,   "none that counts"),
    ("inverter.silent",                    "nothing before all is fresh", NONE,   "no inverter"),
    ("inverter.fault",                     "nothing before all is fresh", NONE,   "one that says no"),
    ("meter.refuse; inverter.refuse",      "nothing before all is fresh", NONE,   "nobody is there"),
]
LINE = [
    ("meter.silent",                       "meter gone",      LOST,   "no answer"),
    ("meter.delay 250ms",                  "meter gone",      LOST,   "no number tells it from another"),
    ("meter.truncate",                     "meter gone",      LOST,   "half an answer"),
    ("meter.garbage",                      "meter gone",      LOST,   "no CRC fits"),
    ("meter.wrong_unit",                   "meter gone",      LOST,   "the answer of another unit"),
    ("meter.duplicate",                    "goes on",         NONE,   "noise before the next question"),
    ("meter.nan",                          "meter gone",      BAD,    "as on TCP"),
    ("inverter.silent",                    "inverter gone",   GONE,   "no answer"),
    ("inverter.garbage",                   "inverter unheard",GONE,   "no CRC fits"),
    ("inverter.exception 4",               "inverter gone",   GONE,   "device failure"),
]
WHOLE = [
    ("broker.down",                        "goes on",         NONE,   "telemetry waits in the outbox"),
    ("clock.step -1h",                     "goes on",         NONE,   "the monotonic clock controls"),
    ("clock.step +1h",                     "goes on",         NONE,   "the same"),
    ("process.kill telemetry",             "goes on",         NONE,   "the ring has no reader"),
    ("process.hang telemetry",             "goes on",         NONE,   "the ring does not wait"),
    ("process.kill bridge",                "goes on",         NONE,   "nothing before it notices"),
    ("process.kill controller",            "controller gone", NONE,   "nobody writes any more"),
    ("process.hang controller",            "controller gone", NONE,   "nobody writes any more"),
]
# fmt: on
KINDS = {"line": LINE, "whole": WHOLE, "tcp": METER + INVERTER + BOTH + START}
EACH = 5  # `make system` plays each fifth one, the night all of them
# those that take long first, so that the last ones are short
ROWS = [
    pytest.param(
        Scenario(*row[:3], kind),
        id=f"{row[0]}{' at the start' if row in START else ''}, {kind}: {row[3]}",
        marks=[pytest.mark.nightly] if i % EACH else [],
    )
    for kind, rows in KINDS.items()
    for i, row in enumerate(sorted(rows, key=lambda row: row[1] == "goes on"))
]


@pytest.fixture(scope="module")
def pool(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """Every scenario of this run, in the background."""
    calls = [getattr(item, "callspec", None) for item in request.session.items]
    chosen = [call.params["scenario"] for call in calls if call is not None and "scenario" in call.params]
    running = Pool(tmp_path_factory.mktemp("scenarios"), chosen)
    yield running
    running.close()


@pytest.mark.parametrize("scenario", ROWS)
def test_what_is_owed(pool: Pool, scenario: Scenario) -> None:
    print(pool.of(scenario))


def test_there_are_enough_of_them() -> None:
    assert len({param.values[0] for param in ROWS}) == len(ROWS) >= 60

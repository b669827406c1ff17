"""The simulated grid simulator, message by message. Time is an argument; expected answers from SCPI-99."""

from __future__ import annotations

import pytest

from drivers.sim.scpi_source import IDENTITY, ScpiGridSource

NONE = '0,"No error"'

# fmt: off
MESSAGES = [
    # messages, the last answer, why
    (["*IDN?"], IDENTITY,         "who it is"),
    (["VOLT 240", "VOLT?"], "240.000", "short form"),
    (["SOURCE:VOLTAGE:LEVEL:IMMEDIATE:AMPLITUDE 230.01", "volt?"], "230.010", "long form, small letters"),
    (["VOLT:AC 230", "VOLT?"], "230.000", "optional nodes"),
    (["VOLT 240;:FREQ 60.021", "FREQ?"], "60.0210", "two in one message, from the root"),
    (["INST:COUP NONE;NSEL 2", "INST:NSEL?"], "2", "the second continues the path"),
    (["INST:COUP NONE;:INST:NSEL 2;:VOLT 9;NSEL 3", "SYST:ERR?"], '-113,"Undefined header;:NSEL"', "no path"),
    (["INST:COUP NONE;:INST:NSEL 2;:VOLT 9;:INST:NSEL 1;:VOLT?"], "0.000", "one phase alone"),
    (["VOLT 9;:INST:NSEL 3;:VOLT?"], "9.000", "coupled: all phases"),
    (["INST:NSEL 2;:PHAS?"], "240.0", "L2 of an ordinary grid"),
    (["OUTP ON", "OUTP:STAT?"], "1", "closed"),
    (["OUTP?;:FREQ?"], "0;60.0000", "two queries, two answers"),
    (["SYST:ERR?"], NONE, "empty queue"),
    (["VOLTA 240", "SYST:ERR?"], '-113,"Undefined header;:VOLTA"', "neither short nor long"),
    (["VOLT 401", "SYST:ERR?"], '-222,"Data out of range;401"', "above what it can"),
    (["FREQ nan", "SYST:ERR?"], '-222,"Data out of range;nan"', "nan is no frequency"),
    (["FREQ fast", "SYST:ERR?"], '-104,"Data type error"', "no number"),
    (["FREQ", "SYST:ERR?"], '-109,"Missing parameter"', "nothing"),
    (["OUTP MAYBE", "SYST:ERR?"], '-224,"Illegal parameter value;MAYBE"', "no such word"),
    (["MEAS:VOLT 3", "SYST:ERR?"], '-113,"Undefined header;:MEAS:VOLT"', "only a query"),
    (["X", "Y", "SYST:ERR?", "SYST:ERR?"], '-113,"Undefined header;:Y"', "first in, first out"),
    (["X"] * 20 + ["*CLS", "SYST:ERR?"], NONE, "cleared"),
    (["VOLT 401", "VOLT?"], "0.000", "what is refused changes nothing"),
]
# fmt: on


@pytest.mark.parametrize(("messages", "answer", "why"), MESSAGES, ids=[c[-1] for c in MESSAGES])
def test_messages(messages: list[str], answer: str, why: str) -> None:
    source = ScpiGridSource()
    assert [source.answer(message) for message in messages][-1] == answer


def test_the_queue_says_that_it_overflowed() -> None:
    source = ScpiGridSource()
    for _ in range(30):
        source.answer("NONSENSE")
    told = [source.answer("SYST:ERR?") for _ in range(17)]
    assert told[-2:] == ['-350,"Queue overflow"', NONE]


def test_the_output_slews() -> None:
    """20 kV/s and 2 kHz/s unless told otherwise: 5 ms are 100 V and 10 Hz."""
    source = ScpiGridSource()
    source.answer("VOLT 240;:FREQ 61;:OUTP ON")
    source.step(0.005)
    assert (source.out_v[0], source.out_hz) == (100.0, 61.0)
    source.step(0.005)
    source.step(0.005)
    assert source.out_v == [240.0, 240.0, 240.0]
    source.answer("VOLT:SLEW 10;:FREQ:SLEW 3;:VOLT 200;:FREQ 60")
    source.step(0.1)
    assert (source.out_v[0], source.out_hz) == pytest.approx((239.0, 60.7))


def test_a_relay_opens_at_once() -> None:
    source = ScpiGridSource()
    source.answer("VOLT 240;:OUTP ON")
    source.step(1.0)
    source.answer("OUTP OFF")
    source.step(0.001)
    assert source.out_v == [0.0, 0.0, 0.0]
    assert source.answer("VOLT?") == "240.000"


def test_faults_of_its_output_and_of_its_own_meter() -> None:
    source = ScpiGridSource()
    source.answer("VOLT 240;:OUTP ON;:DIAG:GAIN 0.98")
    source.step(1.0)
    assert source.out_v[0] == pytest.approx(235.2)
    source.answer("DIAG:GAIN 1;:DIAG:READ 1.02")
    source.step(1.0)
    assert source.out_v[0] == 240.0
    assert source.answer("MEAS:VOLT?") == "244.800"

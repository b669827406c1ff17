"""Every profile's words, in their order, to a device of PyVISA-sim that was typed from the maker's manual.

The devices in dialogues/ answer ERROR to whatever they were not taught; then it stands where SYST:ERR? should answer.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.gridsource.point import EnvelopeError, GridPoint, SourceError
from drivers.gridsource.profile import SourceProfile, load_profile, profile_names
from drivers.gridsource.scpi import ScpiSource
from drivers.gridsource.wire import VisaWire

DIALOGUES = Path(__file__).with_name("dialogues")
NOMINAL = GridPoint(240.0, 240.0, 240.0, 60.0)
# 10 mV and 1 mHz must arrive: 248.4 is V3 + a_V of volt-var, 60.021 is the edge of the dead band (1547.1, section 20)
FINE = GridPoint(248.4, 0.0, 0.0, 60.021)
UNBALANCED = GridPoint(256.8, 218.4, 218.41, 60.021)  # 1.07, 0.91, 0.91 pu of 240 V


class HeardWire(VisaWire):
    """Keeps what was sent, without the reading of the error queue."""

    heard: list[str]

    def _write(self, line: str) -> None:
        if "SYST:ERR?" not in line:
            self.heard.append(line)
        super()._write(line)


def source_of(profile: SourceProfile, phases: int, rest: GridPoint | None = None) -> tuple[ScpiSource, list[str]]:
    wire = HeardWire(f"GPIB0::{phases}::INSTR", library=f"{DIALOGUES / profile.profile}.yaml@sim")
    wire.heard = []
    return ScpiSource(profile, wire, phases, rest), wire.heard


# fmt: off
WORDS = [
    # profile, phases; lines of on(NOMINAL); of set(FINE), with three phases of set(UNBALANCED); what it reads then
    ("california-instruments", 1,
        ["*IDN?", "VOLT 240.00;:FREQ 60.000", "PHAS 0.0", "OUTP ON"],
        ["VOLT 248.40;:FREQ 60.021"],
        [248.4]),
    ("california-instruments", 3,
        ["*IDN?", "INST:COUP NONE",
         "INST:NSEL 1;:VOLT 240.00;:INST:NSEL 2;:VOLT 240.00;:INST:NSEL 3;:VOLT 240.00;:FREQ 60.000",
         "INST:NSEL 2;:PHAS 240.0;:INST:NSEL 3;:PHAS 120.0", "OUTP ON"],
        ["INST:NSEL 1;:VOLT 256.80;:INST:NSEL 2;:VOLT 218.40;:INST:NSEL 3;:VOLT 218.41;:FREQ 60.021"],
        [256.8, 218.4, 218.41]),
    ("chroma-61500", 1,
        ["*IDN?", "OUTP:MODE FIXED", "SOUR:VOLT:AC 240.00", "SOUR:FREQ 60.000", "OUTP ON"],
        ["SOUR:VOLT:AC 248.40", "SOUR:FREQ 60.021"],
        [248.4]),
    ("chroma-61500", 3,
        ["*IDN?", "OUTP:MODE FIXED", "INST:COUP NONE", "INST:NSEL 1", "SOUR:VOLT:AC 240.00", "INST:NSEL 2",
         "SOUR:VOLT:AC 240.00", "INST:NSEL 3", "SOUR:VOLT:AC 240.00", "SOUR:FREQ 60.000", "SOUR:PHAS:P12 120.0",
         "SOUR:PHAS:P13 240.0", "OUTP ON"],
        ["INST:NSEL 1", "SOUR:VOLT:AC 256.80", "INST:NSEL 2", "SOUR:VOLT:AC 218.40", "INST:NSEL 3",
         "SOUR:VOLT:AC 218.41", "SOUR:FREQ 60.021"],
        None),
    ("chroma-61800", 1,
        ["*IDN?", "OUTP:MODE FIXED", "INST:PHAS SINGLE", "SOUR:VOLT:LEV:IMM:AMPL:AC 240.00", "SOUR:FREQ 60.000",
         "OUTP:REL ON", "OUTP:STAT ON"],
        ["SOUR:VOLT:LEV:IMM:AMPL:AC 248.40", "SOUR:FREQ 60.021"],
        None),
    ("pacific-upc", 1,
        ["*IDN?", ":SOUR:VOLT,240.00;FREQ,60.000", ":OUTP ON"],
        [":SOUR:VOLT,248.40;FREQ,60.021"],
        [248.4]),
    ("pacific-upc", 3,
        ["*IDN?", ":SOUR:VOLT1,240.00;VOLT2,240.00;VOLT3,240.00;FREQ,60.000", ":SOUR:PHAS2,120.0;PHAS3,240.0",
         ":OUTP ON"],
        [":SOUR:VOLT1,256.80;VOLT2,218.40;VOLT3,218.41;FREQ,60.021"],
        [256.8, 218.4, 218.41]),
]
OFF = {"chroma-61800": ["OUTP:STAT OFF", "OUTP:REL OFF"], "pacific-upc": [":OUTP OFF"]}
# fmt: on


@pytest.mark.parametrize(
    ("name", "phases", "first", "then", "reads"), WORDS, ids=[f"{name}, {phases}" for name, phases, *_ in WORDS]
)
def test_words(name: str, phases: int, first: list[str], then: list[str], reads: list[float] | None) -> None:
    """Angles go out once: a set that changes none of them does not send them again."""
    source, heard = source_of(load_profile(name), phases)
    point = FINE if phases == 1 else UNBALANCED
    source.on(NOMINAL)
    assert heard == first
    heard.clear()
    source.set(point)
    assert heard == then
    heard.clear()
    source.set(point)
    assert heard == [], "it is there already"
    found = source.read()
    assert (found and [found.v1_v, found.v2_v, found.v3_v][:phases]) == reads
    heard.clear()
    source.safe()
    assert heard == OFF.get(name, ["OUTP OFF"])
    source.close()


def test_every_profile_has_a_dialogue() -> None:
    """But the one of our own simulated source, which is spoken to over loopback."""
    typed = {path.stem for path in DIALOGUES.glob("*.yaml")}
    assert typed | {"simulated"} == set(profile_names())


def test_rest_at_nominal_keeps_the_output_closed() -> None:
    source, heard = source_of(load_profile("california-instruments"), 1, rest=NOMINAL)
    source.on(FINE)
    heard.clear()
    source.safe()
    assert heard == ["VOLT 240.00;:FREQ 60.000", "PHAS 0.0"]


def test_a_word_that_the_source_does_not_know_is_an_error_with_its_line() -> None:
    source, _ = source_of(load_profile("california-instruments"), 1)
    with pytest.raises(SourceError, match=r"GPIB0::1::INSTR: .*ERROR.* is no entry of an error queue"):
        source.set(GridPoint(241.0, 0.0, 0.0, 60.0))


def test_another_makers_source_is_refused_before_anything_is_set() -> None:
    wire = HeardWire("GPIB0::1::INSTR", library=f"{DIALOGUES / 'pacific-upc'}.yaml@sim")
    wire.heard = []
    source = ScpiSource(load_profile("california-instruments"), wire, 1)
    with pytest.raises(SourceError, match=r"is 'PPSC,UPC-12,v5\.22,133810', which profile california"):
        source.on(NOMINAL)
    assert wire.heard == ["*IDN?"]


# fmt: off
REFUSED = [
    # profile                  phases  point                                            said
    ("california-instruments", 1,      GridPoint(301.0, 0.0, 0.0, 60.0),                "301 V on L1 is outside"),
    ("california-instruments", 1,      GridPoint(240.0, 0.0, 0.0, 70.0),                "70 Hz is outside"),
    ("california-instruments", 1,      GridPoint(float("nan"), 0.0, 0.0, 60.0),         "nan V on L1 is outside"),
    ("california-instruments", 3,      GridPoint(240.0, 240.0, 310.0, 60.0),            "310 V on L3 is outside"),
    ("chroma-61500",           1,      GridPoint(240.0, 0.0, 0.0, 60.0, a1_deg=20.0),   "no words to turn L1 by 20"),
    ("pacific-upc",            3,      GridPoint(240.0, 240.0, 240.0, 60.0, 20.0),      "no words to turn L1"),
]
# fmt: on


@pytest.mark.parametrize(("name", "phases", "point", "said"), REFUSED, ids=[c[-1] for c in REFUSED])
def test_what_a_source_cannot_do_is_not_sent(name: str, phases: int, point: GridPoint, said: str) -> None:
    source, heard = source_of(load_profile(name), phases)
    with pytest.raises(EnvelopeError, match=said):
        source.set(point)
    assert heard == []


def test_phases_without_words_are_refused() -> None:
    with pytest.raises(SourceError, match="chroma-61800 has no lines for 3 phases; allowed: 1"):
        source_of(load_profile("chroma-61800"), 3)

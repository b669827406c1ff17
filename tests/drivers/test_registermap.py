"""Tables between a map and the bus: which requests are chosen, and what each row means. Numbers from a pencil."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace

import pytest

from cython_core.records import DeviceState, DeviceStatus, DeviceValid, Measurement, MeasurementValid
from drivers.base import MapError
from drivers.registermap import (
    Decode,
    Encode,
    Flag,
    Plan,
    Read,
    Span,
    Write,
    connection_registers,
    decode,
    encode,
    field_word,
    load_map,
    meter_plan,
    parse_map,
    plan_from_json,
    plan_reads,
    plan_to_json,
)
from drivers.tables import Watch

# fmt: off
NEAR, FAR = [(0, 2, 1), (10, 2, 1)], [(0, 2, 1), (50, 2, 1)]  # (address, words, every)

REQUESTS = [
    # spans                               max  turn  baud  requests                  why
    ([(0, 2, 1), (2, 2, 1), (4, 2, 1)],   60,  2.0,  0,    [(0, 6, 1)],              "neighbours are one request"),
    (FAR,                                 60,  2.0,  0,    [(0, 52, 1)],             "TCP: 48 idle words cost < 2 ms"),
    (FAR,                                 60,  20.0, 9600, FAR,                      "48 words 100, request 41 ms"),
    (NEAR,                                60,  20.0, 9600, [(0, 12, 1)],             "8 words 17, request 41 ms"),
    (FAR,                                 51,  2.0,  0,    FAR,                      "52 words: too many at once"),
    (FAR,                                 52,  2.0,  0,    [(0, 52, 1)],             "52 words: just allowed"),
    ([(0, 2, 1), (40, 2, 1), (80, 2, 1)], 60,  2.0,  0,    [(0, 2, 1), (40, 42, 1)], "two requests, not three"),
    ([(0, 2, 1), (20, 2, 9)],             60,  2.0,  0,    [(0, 2, 1), (20, 2, 9)],  "slow ones do not stretch it"),
    ([(0, 2, 1), (30, 2, 1), (20, 2, 9)], 60,  2.0,  0,    [(0, 32, 1)],             "a slow one inside is free"),
    ([(20, 4, 1), (22, 2, 1)],            60,  2.0,  0,    [(20, 4, 1)],             "overlapping: read once"),
    ([(90, 2, 1), (0, 2, 1)],             60,  2.0,  0,    [(0, 2, 1), (90, 2, 1)],  "the map's order is no matter"),
    ([],                                  60,  2.0,  0,    [],                       "nothing wanted, nothing asked"),
]
# fmt: on


@pytest.mark.parametrize(
    ("spans", "max_words", "turnaround", "baud", "expected", "why"), REQUESTS, ids=[r[-1] for r in REQUESTS]
)
def test_requests(
    spans: list[tuple[int, int, int]],
    max_words: int,
    turnaround: float,
    baud: int,
    expected: list[tuple[int, int, int]],
    why: str,
) -> None:
    reads = plan_reads(4, [Span(*s) for s in spans], max_words, turnaround, baud)
    assert [(r.address, r.count, r.every) for r in reads] == expected, why
    assert all(r.function == 4 for r in reads)


def test_a_value_longer_than_the_longest_read_is_refused() -> None:
    with pytest.raises(MapError, match=r"4 words at 0x0010 do not fit max_words = 2"):
        plan_reads(3, [Span(0x10, 4)], max_words=2)


METER = """
schema: 1
device: acme-m3
kind: meter
source: "made up"
proven: document
function: 3
max_words: 80
refresh_ms: 200
registers:
  f_hz: {at: 0x0046, type: u16, unit: Hz, range: [40, 70], scale: 0.01, resolution: 0.01, absent: 0xffff}
  v1_v: {at: 0x0000, type: u16, unit: V, range: [0, 400], scale: 0.1}
  v2_v: {at: 0x0001, type: u16, unit: V, range: [0, 400], scale: 0.1}
  p_w: {at: 0x0034, type: s32, unit: W, range: [-50000, 50000], scale: -10}
"""


def test_meter_plan_reads_and_targets() -> None:
    plan = meter_plan(parse_map(METER, "m.yaml"), unit=7, phases="L1", timeout_ms=250, turnaround_ms=20, baud=9600)
    assert plan.unit == 7
    assert plan.timeout_ms == 250
    assert plan.reads == (Read(3, 0x0000, 1), Read(3, 0x0034, 19))
    assert plan.start == plan.setpoint == plan.stop == ()
    by_target = {d.target: d for d in plan.decodes}
    assert set(by_target) == {4, 5, 8}  # f_hz, v1_v, p_w: fifth, sixth and ninth word of a Measurement
    assert by_target[4] == Decode(1, 0x46 - 0x34, "u16", 0.01, 40, 70, 4, int(MeasurementValid.F), absent=(0xFFFF,))
    assert by_target[8] == Decode(1, 0, "s32", -10, -50000, 50000, 8, int(MeasurementValid.P))


# fmt: off
OWN = [
    # keys of p_w added     of the map               type      function absent            why
    ("",                    "",                      "s32",    3, (),                     "left out"),
    ("",                    "word_order: little\n",  "s32_le", 3, (),                     "the map's order"),
    (", word_order: big",   "word_order: little\n",  "s32",    3, (),                     "the register's wins"),
    (", word_order: little", "",                     "s32_le", 3, (),                     "the same the other way"),
    (", function: 4",       "",                      "s32",    4, (),                     "a register's own function"),
    (", absent: 0xffff",    "",                      "s32",    3, (0xFFFF,),              "one pattern"),
    (", absent: [1, 0xffff]", "",                    "s32",    3, (1, 0xFFFF),            "two patterns"),
]
# fmt: on


@pytest.mark.parametrize(("keys", "of_map", "kind", "function", "absent", "why"), OWN, ids=[c[-1] for c in OWN])
def test_what_a_register_has_of_its_own(
    keys: str, of_map: str, kind: str, function: int, absent: tuple[int, ...], why: str
) -> None:
    text = METER.replace("scale: -10", f"scale: -10{keys}").replace("registers:", f"{of_map}registers:")
    plan = meter_plan(parse_map(text, "m.yaml"), 1, "L1", 300)
    row = next(d for d in plan.decodes if d.target == 8)
    assert (row.type, plan.reads[row.read].function, row.absent) == (kind, function, absent), why
    others = [plan.reads[d.read].function for d in plan.decodes if d.target != 8]
    assert others == [3, 3]  # f and V stay with the map's


def test_two_functions_may_use_the_same_addresses() -> None:
    text = METER.replace("at: 0x0034, type: s32", "at: 0x0001, type: s32, function: 4")
    plan = meter_plan(parse_map(text, "m.yaml"), 1, "split", 300)
    assert plan.reads == (Read(3, 0x0000, 0x47), Read(4, 0x0001, 2))
    values = decode(plan, [[2301, 2302] + [0] * 68 + [5001], [0, 5]], Measurement)
    assert (values["v2_v"], values["p_w"]) == (pytest.approx(230.2), -50.0)


def test_unused_phases_stay_absent_although_the_meter_has_them() -> None:
    device = parse_map(METER, "m.yaml")
    values = decode(meter_plan(device, 1, "L1", 300), [[2301] + [0] * 69 + [5001]], Measurement)
    assert values["valid"] == MeasurementValid.F | MeasurementValid.V1 | MeasurementValid.P
    assert math.isnan(values["v2_v"])
    assert math.isnan(values["q_var"])  # the map has none
    assert values["v1_v"] == pytest.approx(230.1)
    split = decode(meter_plan(device, 1, "split", 300), [[2301, 2299] + [0] * 68 + [5001]], Measurement)
    assert split["v2_v"] == pytest.approx(229.9)


def test_of_one_phase_the_total_is_the_phase() -> None:
    """A single-phase meter lists no phase powers; at the house connection its total stands for L1."""
    device = parse_map(METER, "m.yaml")
    plan = meter_plan(device, 1, "L1", 300, power="house")
    values = decode(plan, [[2301] + [0] * 51 + [0xFFFF, 0xFF38] + [0] * 16 + [5001]], Measurement)
    assert values["p1_w"] == 2000.0  # -200 x -10
    assert values["p_w"] == values["p1_w"]
    assert values["valid"] == MeasurementValid.F | MeasurementValid.V1 | MeasurementValid.P | MeasurementValid.P1
    assert connection_registers(device, "split") == {}  # half of the total would be a guess


def test_phases_that_the_meter_lacks_are_refused() -> None:
    with pytest.raises(MapError) as error:
        meter_plan(parse_map(METER, "m.yaml"), 1, "L1L2L3", 300)
    assert str(error.value) == (
        "m.yaml:1: acme-m3 has no v3_v, which phases = 'L1L2L3' needs; allowed for this meter: L1, split"
    )


def test_an_inverter_map_is_no_meter() -> None:
    with pytest.raises(MapError, match=r"sunspec-7xx is a map of kind inverter; allowed: meter"):
        meter_plan(load_map("sunspec-7xx"), 1, "L1", 300)


P = field_word(DeviceState, "p_w")
STATUS = field_word(DeviceState, "status")
SESSION = field_word(DeviceState, "session")

# fmt: off
VALUES = [
    # type  words                             scale  absent              expected   why
    ("u16", [0xFFFE],                         1.0,   None,               65534.0,   "unsigned stays positive"),
    ("s16", [0xFFFE],                         1.0,   None,               -2.0,      "two's complement"),
    ("s16", [0xFFFE],                         -1.0,  None,               2.0,       "sign turned"),
    ("u32", [0x0001, 0x0000],                 0.5,   None,               32768.0,   "high word first"),
    ("s32", [0xFFFF, 0xFFFE],                 1.0,   None,               -2.0,      "32-bit two's complement"),
    ("u64", [0, 0, 1, 1],                     1.0,   None,               65537.0,   "four words"),
    ("s64", [0xFFFF] * 4,                     1.0,   None,               -1.0,      "four words, negative"),
    ("f32", [0x44FA, 0x0000],                 -1.0,  None,               -2000.0,   "float, sign turned"),
    ("f32", [0x7FC0, 0x0000],                 1.0,   None,               None,      "NaN is absent"),
    ("f32", [0x7F80, 0x0000],                 1.0,   None,               None,      "infinity is absent"),
    ("s16", [0x8000],                         1.0,   0x8000,             None,      "absent, seen before the sign"),
    ("u32", [0xFFFF, 0xFFFF],                 1.0,   0xFFFFFFFF,         None,      "absent pattern of two words"),
    ("f32", [0x4974, 0x2400],                 1.0,   None,               1e6,       "the high limit itself is allowed"),
    ("f32", [0x4974, 0x2410],                 1.0,   None,               None,      "1 000 001 is above it"),
    ("s32", [0xFFF0, 0xBDBF],                 1.0,   None,               None,      "-1 000 001 is below the low one"),
]
# fmt: on


@pytest.mark.parametrize(("kind", "words", "scale", "absent", "expected", "why"), VALUES, ids=[v[-1] for v in VALUES])
def test_decode_of_one_value(
    kind: str, words: list[int], scale: float, absent: int | None, expected: float | None, why: str
) -> None:
    row = Decode(0, 1, kind, scale, -1e6, 1e6, P, int(DeviceValid.P), absent=() if absent is None else (absent,))
    plan = Plan(1, (Read(3, 0, 1 + len(words)),), (row,))
    values = decode(plan, [[0x1234, *words]], DeviceState)
    if expected is None:
        assert math.isnan(values["p_w"]), why
        assert values["valid"] == 0
    else:
        assert values["p_w"] == expected, why
        assert values["valid"] == DeviceValid.P


def test_integers_are_absent_as_0_and_never_as_nan() -> None:
    row = Decode(0, 0, "u16", 1.0, 0, 8, SESSION, int(DeviceValid.SESSION), to_int=True)
    plan = Plan(1, (Read(3, 0, 1),), (row,))
    assert decode(plan, [[3]], DeviceState)["session"] == 3
    assert decode(replace(plan, decodes=(replace(row, scale=0.6),)), [[3]], DeviceState)["session"] == 2  # 1.8 rounds
    assert decode(plan, [[9]], DeviceState)["session"] == 0
    assert decode(plan, [[9]], DeviceState)["valid"] == 0


def test_a_read_without_an_answer_leaves_its_quantities_absent() -> None:
    rows = (Decode(0, 0, "u16", 1.0, 0, 9, P, 1), Decode(1, 0, "u16", 1.0, 0, 9, P + 1, 2))
    values = decode(Plan(1, (Read(3, 0, 1), Read(3, 9, 1)), rows), [[5], None], DeviceState)
    assert values["p_w"] == 5
    assert math.isnan(values["q_var"])
    assert values["valid"] == 1


RUNNING, FAULT, VALID = int(DeviceStatus.RUNNING), int(DeviceStatus.FAULT), int(DeviceValid.STATUS)
FLAGS = (
    Flag(0, 0, "u16", 0, 0, STATUS, 0, VALID, set=True),
    Flag(0, 0, "u16", 0xFFFF, 3, STATUS, RUNNING, VALID),
    Flag(0, 0, "u16", 0x0100, 0x0100, STATUS, FAULT, VALID),
)

# fmt: off
STATES = [
    # word    status   why
    (0x0003,  RUNNING, "the whole word must equal 3"),
    (0x0103,  FAULT,   "one bit is looked at through the mask; the word is not 3"),
    (0x0000,  0,       "the first row matches everything: no state is a valid state"),
]
# fmt: on


@pytest.mark.parametrize(("word", "status", "why"), STATES, ids=[s[-1] for s in STATES])
def test_flags(word: int, status: int, why: str) -> None:
    values = decode(Plan(1, (Read(3, 0, 1),), (), FLAGS), [[word]], DeviceState)
    assert values["status"] == status, why
    assert values["valid"] == DeviceValid.STATUS


# fmt: off
ENCODED = [
    # p_w      type   scale  words                 why
    (-3500.0,  "s32", 0.1,   (9, 0xFFFF, 0xFEA2),  "-350 as two words: 0x100000000 - 350"),
    (3004.0,   "s32", 0.1,   (9, 0, 300),          "rounded to the nearest step"),
    (0.0,      "s32", 0.1,   (9, 0, 0),            "zero"),
    (-5.0,     "s16", 1.0,   (9, 0xFFFB, 7),       "one word; the next one keeps its template"),
    (25.0,     "s16", 0.1,   (9, 2, 7),            "halves go to the even neighbour"),
    (35.0,     "s16", 0.1,   (9, 4, 7),            "halves go to the even neighbour"),
    (-2000.0,  "f32", -1.0,  (9, 0x44FA, 0x0000),  "a device that counts the other way"),
    (1500.0,   "f32", 0.001, (9, 0x3FC0, 0x0000),  "1.5 kW: a float keeps its fraction"),
    (-5.0,     "s32_le", 1.0, (9, 0xFFFB, 0xFFFF), "low word first"),
    (1500.5,   "f32_le", 1.0, (9, 0x9000, 0x44BB), "low word first, and still not rounded"),
]
# fmt: on


@pytest.mark.parametrize(("p_w", "kind", "scale", "words", "why"), ENCODED, ids=[f"{e[0]} {e[-1]}" for e in ENCODED])
def test_encode(p_w: float, kind: str, scale: float, words: tuple[int, ...], why: str) -> None:
    assert encode(Write(16, 100, (9, 8, 7), (Encode(1, kind, scale, "p_w"),)), {"p_w": p_w}) == words, why


def test_a_value_outside_its_own_range_is_not_encoded() -> None:
    write = Write(6, 100, (0,), (Encode(0, "s16", -1.0, "p_w", -7400.0, 3000.0),))
    assert encode(write, {"p_w": 3000.0}) == (0x10000 - 3000,)
    for p_w in (3000.5, -7400.5):
        with pytest.raises(ValueError, match=rf"p_w = {p_w} is outside -7400 ... 3000"):
            encode(write, {"p_w": p_w})


@pytest.mark.parametrize(
    ("p_w", "kind"), [(40000.0, "s16"), (-1.0, "u16"), (math.nan, "s16"), (math.inf, "f32"), (math.nan, "f32")]
)
def test_a_value_that_does_not_fit_is_not_encoded(p_w: float, kind: str) -> None:
    with pytest.raises(ValueError, match=rf"p_w = .* does not fit {kind} with scale 1.0"):
        encode(Write(16, 100, (0, 0), (Encode(0, kind, 1.0, "p_w"),)), {"p_w": p_w})


FULL = Plan(
    unit=126,
    reads=(Read(3, 40000, 10), Read(3, 50, 4, every=20, unit=100), Read(3, 70, 4, every=0, every_ms=10_000)),
    decodes=(
        Decode(0, 1, "s16", 0.1, -5.5, 5.5, 3, 1, absent=(0x8000, 0x7FFF)),
        Decode(1, 0, "u64", 1.0, 0, 1e12, 4, 2, to_int=True),
    ),
    flags=FLAGS,
    start=(Write(6, 7, (1,), unit=100, verify=3),),
    setpoint=(Write(16, 8, (1, 0, 0), (Encode(1, "s32", 0.1, "p_w", -5e3, 7e3),)),),
    stop=(Write(16, 9, (0, 0)),),
    timeout_ms=250,
    min_gap_ms=20,
    min_write_interval_ms=100,
    write_refresh_ms=3333,
    quantum_p_w=10.0,
    quantum_q_var=1.5,
    write_budget_per_day=90,
    quiet_ms=11_000,
    beat=(Write(16, 30, (0, 0)),),
    watches=(Watch(0, 4, "u32", True, 3000, 12, 8),),
    energies=(Decode(2, 0, "u64", 10.0, 0, 1e12, 1, 2, absent=(0xFFFFFFFFFFFFFFFF,)),),
)


def test_a_plan_survives_json() -> None:
    text = plan_to_json(FULL)
    assert "\n" not in text
    assert plan_from_json(text) == FULL
    defaults = {f.name for f in dataclasses.fields(Plan) if getattr(FULL, f.name) == f.default}
    assert not defaults, f"give these a value of their own, or the round trip proves nothing: {defaults}"


# fmt: off
BROKEN = [
    ("{}",                                             "not a plan of version 3"),
    ("[]",                                             "not a plan of version 3"),
    (plan_to_json(FULL).replace('"v": 3', '"v": 4'),   "not a plan of version 3"),
    (plan_to_json(FULL).replace('"unit": 126', '"onit": 126'), "missing unit"),
    (plan_to_json(FULL).replace('"every"', '"often"'), "unexpected keyword argument 'often'"),
    ("nonsense",                                       "Expecting value"),
]
# fmt: on


@pytest.mark.parametrize(("text", "message"), BROKEN, ids=[b[-1] for b in BROKEN])
def test_what_is_no_plan_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan_from_json(text)

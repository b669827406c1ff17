"""SunSpec meters: the map names the points, the device says where they are and how scaled. Words laid out by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from cython_core.records import Measurement, MeasurementValid
from drivers.base import BusError, DiscoveryError, MapError
from drivers.devicemap import DeviceMap
from drivers.mapfile import load_map, parse_map
from drivers.modbus.link import TcpLink
from drivers.registermap import decode, meter_plan
from drivers.sunspec import walk
from drivers.sunspec.meter import discover_meter, registers_of
from tests.drivers.sunspec_words import Body, WordReader, lay_out, serve

METER = load_map("sunspec-meter")
NOT_GIVEN = 0x8000
V = MeasurementValid


def model_203(**changes: int) -> dict[int, int]:
    """230.0, 231.5, 229.2 V; 49.98 Hz; 2 kW import: W 200 in tens. changes: m16=0 for the word 16 from the ID on."""
    words = dict.fromkeys(range(2, 107), NOT_GIVEN)
    words |= {8: 2300, 9: 2315, 10: 2292, 15: 0xFFFF, 16: 4998, 17: 0xFFFE, 18: 200, 22: 1}
    return words | {int(name[1:]): word for name, word in changes.items()}


def chain_of(*meters: Body, base: int = 40000) -> dict[int, int]:
    return lay_out([(1, 66, {}), *meters], base)


def found(words: Mapping[int, int], device: DeviceMap = METER) -> DeviceMap:
    return registers_of(device, walk(WordReader(words)), words)


def measured(words: Mapping[int, int], phases: str = "L1L2L3", power: str = "unit") -> dict[str, Any]:
    plan = meter_plan(found(words), 1, phases, 300, power=power)
    return decode(plan, [[words[r.address + i] for i in range(r.count)] for r in plan.reads], Measurement)


@pytest.mark.parametrize("base", [40000, 0, 50000])
def test_where_the_device_has_its_model_there_it_is_read(base: int) -> None:
    words = chain_of((203, 105, model_203()), base=base)
    registers = found(words).registers
    assert {q: r.at - base - 70 for q, r in registers.items()} == {
        "f_hz": 16,
        "v1_v": 8,
        "v2_v": 9,
        "v3_v": 10,
        "p_w": 18,
    }
    assert all((r.type, r.function, r.word_order) == ("s16", 3, "big") for r in registers.values())
    values = measured(words)
    assert (values["f_hz"], values["v1_v"], values["v2_v"], values["v3_v"], values["p_w"]) == pytest.approx(
        (49.98, 230.0, 231.5, 229.2, -2000.0)
    )
    assert values["valid"] == V.F | V.V1 | V.V2 | V.V3 | V.P  # Q is not implemented here: absent


def test_a_chain_as_a_kostal_inverter_has_it() -> None:
    """Ids and lengths recorded in evcc-io/evcc issue 15726: the meter's model is the sixth of seven, at 40308."""
    others: list[Body] = [(103, 50, {}), (113, 60, {}), (120, 26, {}), (123, 24, {}), (160, 68, {})]
    words = chain_of(*others, (203, 105, model_203()), (802, 62, {}))
    device = found(words)
    assert device.registers["f_hz"].at == 40308 + 16
    assert device.models == {}  # from here on it is a map like any other


def test_the_steps_follow_from_the_scale_factor() -> None:
    device = found(chain_of((203, 105, model_203())))
    assert device.resolves("f_hz", 0.01)
    assert not device.resolves("v1_v", 0.01)
    coarse = found(chain_of((203, 105, model_203(m16=500, m17=0xFFFF))))
    assert coarse.registers["f_hz"].step == pytest.approx(0.1)


def test_before_it_is_found_nothing_is_promised() -> None:
    device = METER.as_if_found()
    assert device.registers["f_hz"].step is None
    assert device.models  # and it is known that it was not found
    assert len([r for r in meter_plan(device, 1, "L1L2L3", 300).reads if r.every]) == 1
    sdm630 = load_map("eastron-sdm630")
    assert sdm630.as_if_found() == sdm630


def test_what_comes_later_is_absent_until_then() -> None:
    """Not implemented at this moment, though it was when the device was found."""
    words = chain_of((203, 105, model_203()))
    plan = meter_plan(found(words), 1, "L1L2L3", 300)
    words |= {40070 + 16: NOT_GIVEN}
    values = decode(plan, [[words[r.address + i] for i in range(r.count)] for r in plan.reads], Measurement)
    assert not values["valid"] & V.F
    assert values["valid"] & V.P


SECOND = (203, 105, model_203())
# fmt: off
REFUSED = [
    # the device's models                                     what is said
    ([(103, 50, {})],                       "no meter: none of the models 201, 202, 203, 204, 211, 212, 213, 214;"),
    ([(203, 104, model_203())],             "model 203 at 40070 has length 104; known: 105"),
    ([SECOND, SECOND],                      "several meters: model 203 at 40070, model 203 at 40177; say which in the"),
    ([(203, 105, model_203(m16=NOT_GIVEN))], "model 203: f_hz not implemented now; is the meter behind it there?"),
    ([(203, 105, model_203(m17=NOT_GIVEN))], "model 203: f_hz not implemented now; is the meter behind it there?"),
    ([(203, 105, dict.fromkeys(range(2, 107), NOT_GIVEN))], "model 203: f_hz, v1_v, p_w not implemented now"),
    ([(203, 105, model_203(m22=11))],       "model 203: W_SF = 11 is outside -10 ... 10"),
]
# fmt: on


@pytest.mark.parametrize(("models", "said"), REFUSED, ids=[c[-1][:50] for c in REFUSED])
def test_what_is_no_meter_of_use_is_refused(models: list[Body], said: str) -> None:
    with pytest.raises(DiscoveryError) as error:
        found(chain_of(*models))
    assert str(error.value).startswith(said)


def test_one_of_several_is_named_by_its_place_in_the_chain() -> None:
    """A SolarEdge has up to three; here a model of an inverter lies between, and the second says 50.00 Hz."""
    words = chain_of(SECOND, (103, 50, {}), (203, 105, model_203(m16=5000)))
    chain = walk(WordReader(words))
    first, second = (registers_of(METER, chain, words, nth) for nth in (1, 2))
    assert (first.registers["f_hz"].at, second.registers["f_hz"].at) == (40070 + 16, 40229 + 16)
    with pytest.raises(DiscoveryError, match=r"^nth = 3, but it has model 203 at 40070, model 203 at 40229$"):
        registers_of(METER, chain, words, 3)
    nobody = chain_of((103, 50, {}))
    with pytest.raises(DiscoveryError, match=r"^nth = 1, but it has no meter$"):
        registers_of(METER, walk(WordReader(nobody)), nobody, 1)


def test_a_phase_that_the_device_lacks() -> None:
    device = found(chain_of((201, 105, model_203(m9=NOT_GIVEN, m10=NOT_GIVEN))))
    with pytest.raises(
        MapError, match=r"sunspec-meter has no v2_v, v3_v, which phases = 'L1L2L3' needs; allowed .*: L1$"
    ):
        meter_plan(device, 1, "L1L2L3", 300)


def test_over_a_wire() -> None:
    words = chain_of((203, 105, model_203()))
    with serve(words) as port:
        link = TcpLink("127.0.0.1", port)
        assert discover_meter(link, 1, METER, 5.0, 300) == discover_meter(link, 1, METER, 5.0, 300, 1) == found(words)
    with (
        serve(chain_of((103, 50, {}))) as port,
        pytest.raises(DiscoveryError, match=rf"127.0.0.1:{port} unit 7: no meter"),
    ):
        discover_meter(TcpLink("127.0.0.1", port), 7, METER, 5.0, 300)
    with serve(words, silent=True) as port, pytest.raises(BusError, match="no answer in time"):
        discover_meter(TcpLink("127.0.0.1", port), 1, METER, 5.0, 30)


OWN = """schema: 1
device: own
kind: meter
source: "made up"
proven: document
function: 3
max_words: 125
refresh_ms: 200
models:
  201, 203: {length: 105, points: {Hz: {at: 16, type: s16, factor: SF}, SF: {at: 17, type: s16}, V: {at: 8, type: s16}}}
  213: {length: 124, points: {Hz: {at: 26, type: f32}, W: {at: 28, type: f32}}}
quantities:
  f_hz: {point: Hz, unit: Hz, range: [30, 80], resolution: 0.001}
  v1_v: {point: [203.V, 201.V], unit: V, range: [0, 400]}
  p_w: {point: W, unit: W, range: [-50000, 50000], scale: -1}
"""


def test_a_point_alone_is_that_of_every_model_that_has_it() -> None:
    quantities = parse_map(OWN, "m.yaml").quantities
    assert quantities["f_hz"].points == ((201, "Hz"), (203, "Hz"), (213, "Hz"))
    assert quantities["v1_v"].points == ((203, "V"), (201, "V"))
    assert quantities["p_w"].points == ((213, "W"),)
    assert parse_map(OWN, "m.yaml").as_if_found().registers["f_hz"].step == 0.001  # what the author has seen


# fmt: off
MISTAKES = [
    # replace            by                       the line told
    ("201, 203:",        "201, x:",               "m.yaml:10: models: 'x' is not a model number; 1 ... 65534"),
    ("201, 203:",        "201, 201:",             "m.yaml:10: models: 201 stands twice"),
    ("213: {",           "203: {",                "m.yaml:11: models: 203 stands twice"),
    ("point: W,",        "point: VA,",            "m.yaml:15: point 'VA' is not under models; write model.point, like"),
    ("point: W,",        "point: 203.W,",         "m.yaml:15: point '203.W' is not under models; write model.point"),
    ("  v1_v:",          "  v2_v:",               "m.yaml:12: quantities: missing key 'v1_v': the point that holds it"),
    ("  v1_v:",          "  soc_pu:",             "m.yaml:14: unknown key 'soc_pu'; known: e_export_wh, e_import_wh,"),
    (", scale: -1",      "",                      "m.yaml:15: p_w: missing key 'scale': "),
    ("models:",          "word_order: little\nmodels:", "m.yaml:9: word_order has no place beside models:"),
]
# fmt: on


@pytest.mark.parametrize(("old", "new", "line"), MISTAKES, ids=[m[-1][:60] for m in MISTAKES])
def test_a_mistake_is_told_with_its_line(old: str, new: str, line: str) -> None:
    assert OWN.count(old) == 1
    with pytest.raises(MapError) as error:
        parse_map(OWN.replace(old, new), "m.yaml")
    assert any(told.startswith(line) for told in str(error.value).splitlines()), error.value

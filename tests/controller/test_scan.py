"""v2g scan: who is taken for what, in which order wires are tried, how long at most, and what is printed.

Devices are words laid out by hand, answered in virtual time; the answers of meters come from tests/captures.
"""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from controller import cli
from controller.commands.scan import others
from controller.scan import (
    LINES,
    PRESENCE,
    SERIAL_TIMEOUT_MS,
    TCP_TIMEOUT_MS,
    TCP_UNITS,
    TRIES,
    Place,
    WireAsker,
    hosts_of,
    lines_of,
    longest_s,
    scan_host,
    scan_hosts,
    scan_link,
    scan_serial,
    units_of,
)
from controller.scanlines import as_json, headline, lines
from controller.scanmaps import identify
from controller.scanunit import MOST_SILENCES, REFUSES, UNKNOWN, Found, NobodyError, Unit, phases_of
from controller.site import load_site
from controller.telemetry.broker import free_port
from drivers.base import BusError
from drivers.mapfile import load_map, map_names
from drivers.mapproof import read_answers
from drivers.modbus.link import Link, SerialLink, TcpLink, UdpLink
from drivers.modbus.serial_port import LineError
from drivers.sunspec.chain import RefusedError
from tests.drivers.modbus.scripted import HANG_UP, Question, device, reply
from tests.drivers.modbus.scripted_line import line, rtu
from tests.drivers.modbus.test_inverter_devices import quasar_words
from tests.drivers.sunspec_words import Body, inverter, lay_out
from tests.drivers.test_sunspec_legacy import storage, without
from tests.drivers.test_sunspec_meter import model_203

CAPTURES = Path(__file__).parents[1] / "captures"
Words = Mapping[tuple[int, int, int], int]  # (unit, function, address) -> word


def of_unit(unit: int, function: int, words: Mapping[int, int]) -> dict[tuple[int, int, int], int]:
    return {(unit, function, at): word for at, word in words.items()}


def floats(values: Mapping[int, float]) -> dict[int, int]:
    """{address: value} -> words, the high one first."""
    pairs = ((at, struct.unpack(">2H", struct.pack(">f", value))) for at, value in values.items())
    return {at + i: word for at, both in pairs for i, word in enumerate(both)}


@dataclass
class Device:
    """Units that answer by their words. zero: what is not there reads 0, else it is refused."""

    words: Words
    zero: bool = False
    asked: list[tuple[int, int, int, int]] = field(default_factory=list)

    def __call__(self, unit: int, function: int, address: int, count: int, /) -> tuple[int, ...]:
        self.asked.append((unit, function, address, count))
        if unit not in {u for u, _, _ in self.words}:
            raise BusError("no answer in time")
        span = [(unit, function, at) for at in range(address, address + count)]
        functions = {f for u, f, _ in self.words if u == unit}
        if function not in functions or not (self.zero or all(place in self.words for place in span)):
            raise RefusedError("exception 2")
        return tuple(self.words.get(place, 0) for place in span)


def who_is(words: Words, unit: int = 1, zero: bool = False) -> list[Found]:
    return identify(Unit(Device(words, zero), unit))


def meter_words(name: str) -> dict[int, int]:
    """A map's own answers: what a device sent, and what was packed by hand unless power flows in it."""
    found: dict[int, int] = {}
    for answer in read_answers(CAPTURES / f"{name}.yaml"):
        if (answer.origin == "capture" or all(q[0] in "fvi" for q in answer.expected)) and not answer.absent:
            found |= {answer.at + i: word for i, word in enumerate(answer.words)}
    return found


# fmt: off
ALIKE = [
    # function, meters, maps that answer alike besides: the nameplate tells
    (4, ("eastron-sdm630", "eastron-sdm72"),                                     ()),
    (4, ("eastron-sdm120",),  ("eastron-sdm230", "eastron-sdm630", "eastron-sdm72")),  # at rest; see POWERS
    (4, ("eastron-sdm230",),  ("eastron-sdm120",)),  # a device that was read under load
    (4, ("carlo-gavazzi-em24-e1", "carlo-gavazzi-em340", "carlo-gavazzi-em540"), ()),
    (4, ("carlo-gavazzi-em24",),                                                 ()),
    (4, ("carlo-gavazzi-et112",),                                                ()),
    (3, ("janitza-umg604",),                                                     ()),
    (3, ("janitza-umg96rm",),                                                    ()),
    (3, ("schneider-iem3000", "schneider-pm5000"),                               ()),
    (3, ("siemens-pac2200", "siemens-pac3200"),                                  ()),
    (3, ("abb-b23",),                                                            ()),
    (3, ("victron-vm-3p75ct",),                                                  ()),
]
EACH = [(function, name, {*names, *more}) for function, names, more in ALIKE for name in names]
# fmt: on


@pytest.mark.parametrize(("function", "name", "maps"), EACH, ids=[c[1] for c in EACH])
def test_a_meter_is_known_by_frequency_and_voltage(function: int, name: str, maps: set[str]) -> None:
    (found,) = who_is(of_unit(1, function, meter_words(name)), zero=True)
    assert (found.kind, found.sure, set(found.maps)) == ("meter", False, maps)


def test_every_meter_with_plain_registers_is_looked_for() -> None:
    assert {name for name in map_names(["meter"]) if not load_map(name).models} == {name for _, name, _ in EACH}


SDM = {0: 230.0, 70: 50.0}
SDMS = of_unit(1, 4, floats(SDM | {2: 231.0, 4: 229.0}))
CG_ALIKE = ("carlo-gavazzi-em24-e1", "carlo-gavazzi-em340", "carlo-gavazzi-em540")


def words_of(name: str, function: int) -> dict[tuple[int, int, int], int]:
    return of_unit(1, function, meter_words(name))


CG = words_of("carlo-gavazzi-em340", 4)
# fmt: off
PROBES = [
    # words                                        maps                                 sure   why
    (SDMS | {(1, 3, 0xFC02): 0x0070},              ("eastron-sdm630",),                 True,  "SDM630"),
    (SDMS | {(1, 3, 0xFC02): 0x0079},              ("eastron-sdm630",),                 True,  "SDM630MCT"),
    (SDMS | {(1, 3, 0xFC02): 0x0089},              ("eastron-sdm72",),                  True,  "SDM72 V2"),
    (SDMS | {(1, 3, 0xFC02): 0},                   ("eastron-sdm630", "eastron-sdm72"), False, "an old SDM630"),
    (SDMS,                                         ("eastron-sdm630", "eastron-sdm72"), False, "no such register"),
    (of_unit(1, 4, floats(SDM)) | {(1, 3, 0xFC02): 0x0020}, ("eastron-sdm120",),        True,  "an SDM120 at rest"),
    (CG | {(1, 4, 0x000B): 1653},                  ("carlo-gavazzi-em24-e1",),          True,  "EM24 E1"),
    (CG | {(1, 4, 0x000B): 341},                   CG_ALIKE,                            False, "no EM24 E1, so what?"),
    (words_of("carlo-gavazzi-et112", 4) | {(1, 4, 0x000B): 121}, ("carlo-gavazzi-et112",), True, "ET112"),
    (words_of("abb-b23", 3) | {(1, 3, 0x8960): 0x4232, (1, 3, 0x8961): 0x3320}, ("abb-b23",), True, "B23"),
]
# fmt: on


@pytest.mark.parametrize(("words", "maps", "sure", "why"), PROBES, ids=[c[-1] for c in PROBES])
def test_a_probe_tells_a_meter_from_those_that_answer_alike(
    words: Words, maps: tuple[str, ...], sure: bool, why: str
) -> None:
    """Another value than the known ones says nothing: firmware differs, and nobody has seen it all."""
    (found,) = who_is(words, zero=True)
    assert (set(found.maps), found.sure) == (set(maps), sure)
    told = headline(Place(TcpLink("10.0.0.1"), found))
    assert ("no register tells it from" in told) == (len(maps) > 1)
    assert told.startswith(f"10.0.0.1:502 unit 1: {'meter, map ' if sure else 'looks like '}{found.maps[0]}")


# fmt: off
POWERS = [
    # beside 230 V and 50 Hz      the likeliest     phases    why
    ({},                          "eastron-sdm630", "L1",     "at rest nothing tells one phase from three"),
    ({12: 1500.0},                "eastron-sdm120", "L1",     "no total at 52: one phase, the total at 12"),
    ({12: 1500.0, 52: 1510.0},    "eastron-sdm630", "L1",     "phase and total agree"),
    ({2: 231.0, 4: 229.0},        "eastron-sdm630", "L1L2L3", "three phases with voltage"),
    ({2: 231.0},                  "eastron-sdm630", "split",  "two"),
]
# fmt: on


@pytest.mark.parametrize(("more", "name", "phases", "why"), POWERS, ids=[c[-1] for c in POWERS])
def test_the_likeliest_of_several(more: dict[int, float], name: str, phases: str, why: str) -> None:
    (found,) = who_is(of_unit(1, 4, floats(SDM | more)), zero=True)
    assert (found.maps[0], phases_of(found)) == (name, phases)


# fmt: off
NOT_A_METER = [
    # words of function 4                  why
    ({},                                   "zeros"),
    (floats({0: 230.0, 70: 0.0}),          "no frequency"),
    (floats({0: 230.0, 70: 30.0}),         "30 Hz is in the map's range and is no grid's"),
    (floats({0: 2.0, 70: 50.0}),           "2 V"),
    (floats({0: 230.0, 70: float("nan")}), "not a number"),
]
# fmt: on


@pytest.mark.parametrize(("words", "why"), NOT_A_METER, ids=[c[-1] for c in NOT_A_METER])
def test_what_is_no_grid_is_no_meter(words: dict[int, int], why: str) -> None:
    assert who_is(of_unit(1, 4, {9: 0, **words}), zero=True) == [Found(unit=1, note=UNKNOWN)]


VICTRON = of_unit(227, 3, {12: 150, 33: 3, 37: 0, 132: 0, 133: 3000}) | of_unit(100, 3, {843: 55})
SIGENERGY = of_unit(1, 4, {31504: 500, 31513: 1, 31523: 0, 31524: 12500, 31525: 0, 31526: 12500}) | of_unit(
    247, 3, {40001: 0, 40002: 0}
)
AMBIBOX = of_unit(1, 4, floats({4054: 55.0}) | {4082: 0, 4083: 5}) | of_unit(1, 3, {3000: 0, 3001: 0})
SMA = of_unit(3, 3, {30775: 0, 30776: 0, 40149: 0, 40150: 0, 40189: 0, 40190: 5000, 40191: 0, 40192: 5000}) | of_unit(
    3, 3, {30845: 0, 30846: 60}
)
QUASAR = of_unit(1, 3, quasar_words())
# fmt: off
INVERTERS = [
    # unit words                                           maps                               why
    (1,   QUASAR,                                          ("wallbox-quasar1",),              "a car at 55 %"),
    (1,   QUASAR | of_unit(1, 3, {537: 0, 538: 0}),        ("wallbox-quasar1",),              "no car: soc is 0"),
    (1,   QUASAR | of_unit(1, 3, {537: 99}),               (),                                "a session nobody knows"),
    (1,   QUASAR | of_unit(1, 3, {526: 30000}),            (),                                "30 kW from 7.4 kW"),
    (1,   QUASAR | of_unit(1, 3, {514: 0, 538: 0}),        (),                                "zeros and a session"),
    (227, VICTRON,                                         ("victron-gx", "victron-gx-3ph"),  "its system is unit 100"),
    (1,   SIGENERGY,                                       ("sigenergy-v2g-dc",),             "its plant is unit 247"),
    (1,   AMBIBOX,                                         ("ambibox-ambicharge-home",),      "two functions"),
    (3,   SMA,                                             ("sma-sbs-si",),                   "its own profile"),
    (1,   of_unit(1, 4, {28: 55}),                         (),                                "one number is no SolaX"),
    (1,   of_unit(1, 3, {514: 42, 531: 1, 1034: 0}),       (),                                "nor are three a Kostal"),
]
# fmt: on


@pytest.mark.parametrize(("unit", "words", "maps", "why"), INVERTERS, ids=[c[-1] for c in INVERTERS])
def test_an_inverter_is_known_when_all_its_values_are_plausible(
    unit: int, words: Words, maps: tuple[str, ...], why: str
) -> None:
    (found,) = who_is(words, unit, zero=True)
    assert (found.maps, found.sure) == (maps, False)


def named(maker: str, model: str = "M1", number: str = "42") -> Body:
    """Model 1."""
    points: dict[int, int] = {}
    for at, count, text in ((2, 16, maker), (18, 16, model), (50, 16, number)):
        raw = text.encode().ljust(2 * count, b"\0")
        points |= {at + i: int.from_bytes(raw[2 * i : 2 * i + 2], "big") for i in range(count)}
    return (1, 66, points)


def sunspec(maker: str, *bodies: Body, base: int = 40000) -> Words:
    return of_unit(1, 3, lay_out([named(maker), *(b for b in bodies if b[0] != 1)], base))


METER = (203, 105, model_203())
PLENTICORE = of_unit(1, 3, {514: 42, 531: 10000, 1034: 0x8000, 1035: 0x44BB})
KOSTAL = {**sunspec("KOSTAL", (103, 50, {}), METER), **PLENTICORE}
# fmt: off
SUNSPEC = [
    # words                                       (kind, map)                         why
    (sunspec("Acme", *inverter()),                [("inverter", "sunspec-7xx")],        "701 ... 715"),
    (sunspec("Acme", *inverter(), base=0),        [("inverter", "sunspec-7xx")],        "from 0 on"),
    (sunspec("Acme", *storage()),                 [("inverter", "sunspec-12x")],        "124"),
    (sunspec("Fronius", *storage()),              [("inverter", "fronius-gen24")],      "its maker's own map"),
    (sunspec("Acme", METER),                      [("meter", "sunspec-meter")],         "203"),
    (sunspec("SolarEdge ", METER),                [("meter", "solaredge-meter")],       "counts + as export"),
    (KOSTAL,  [("meter", "sunspec-meter"), ("inverter", "kostal-plenticore")],          "its own registers command it"),
    (sunspec("Acme", METER, *inverter()),         [("meter", "sunspec-meter"), ("inverter", "sunspec-7xx")], "both"),
]
# fmt: on


@pytest.mark.parametrize(("words", "expected", "why"), SUNSPEC, ids=[c[-1] for c in SUNSPEC])
def test_a_sunspec_device_says_who_it_is(words: Words, expected: list[tuple[str, str]], why: str) -> None:
    found = who_is(words)
    assert [(f.kind, *f.maps) for f in found] == expected
    assert {(f.sure, f.model, f.serial_number) for f in found} == {(True, "M1", "42")}


# fmt: off
REFUSED = [
    # words                                                      the reason holds
    (sunspec("Acme", *without(124, storage())),                  "map sunspec-12x: model 124 is missing"),
    (sunspec("KOSTAL", (103, 50, {})),                           "map sunspec-12x: model 122 is missing"),
    (sunspec("Acme", METER, METER),                              "several meters: model 203 at 40070, model 203 "),
    (of_unit(1, 3, lay_out([named("Acme"), METER], end=False)),  "nothing readable at 40177"),
]
# fmt: on


@pytest.mark.parametrize(("words", "reason"), REFUSED, ids=[c[-1] for c in REFUSED])
def test_a_sunspec_device_that_cannot_be_used_is_told_with_its_reason(words: Words, reason: str) -> None:
    (found,) = who_is(words)
    assert found.maps == ()
    assert reason in found.note


def test_a_control_of_its_own_is_told_beside_the_find() -> None:
    (meter, found) = who_is(sunspec("Acme", METER, *inverter(m704={2: 1})))
    assert (meter.kind, meter.but) == ("meter", "")
    assert (found.kind, found.maps) == ("inverter", ("sunspec-7xx",))
    told = headline(Place(TcpLink("10.0.0.1"), found))
    assert "map sunspec-7xx; but model 704: PFWInjEna = 1: it keeps a constant power factor" in told


def test_what_a_device_calls_itself_stays_in_its_comment() -> None:
    (found,) = who_is(sunspec("Ac\nme:\x07", METER))
    assert found.maker == "Acme:"
    assert all(text.startswith(("#", "meter:", "  ")) for text in lines([Place(TcpLink("a"), found)]))


def test_a_device_of_exceptions_is_told_from_one_we_do_not_know() -> None:
    assert who_is(of_unit(1, 3, {7: 1})) == [Found(unit=1, note=REFUSES)]
    assert who_is(of_unit(1, 3, {40000: 1, 40001: 2})) == [Found(unit=1, note=UNKNOWN)]


def test_a_device_that_falls_silent_is_left_alone() -> None:
    asked = []

    def ask(*question: int) -> tuple[int, ...]:
        asked.append(question)
        raise BusError("no answer in time")

    assert identify(Unit(ask, 1)) == [Found(unit=1, note=REFUSES)]
    assert len(asked) == MOST_SILENCES


# ---- where it looks, and for how long ----


@dataclass
class House:
    """Wires in virtual time. wires: link -> device; an address that is not among them takes no connection."""

    wires: Mapping[Link, Device] = field(default_factory=dict)
    now_s: float = 0.0
    opened: list[Link] = field(default_factory=list)
    asked: list[tuple[Link, int, int, int, int]] = field(default_factory=list)
    in_use: list[str] = field(default_factory=list)

    def open(self, link: Link) -> Wired:
        where = link.path if isinstance(link, SerialLink) else link.host
        assert where not in self.in_use, "two connections at a time"
        self.in_use.append(where)
        self.opened.append(link)
        return Wired(self, link, where)


@dataclass
class Wired:
    house: House
    link: Link
    where: str

    def __call__(self, unit: int, function: int, address: int, count: int, /) -> tuple[int, ...]:
        house, there = self.house, self.house.wires.get(self.link)
        house.asked.append((self.link, unit, function, address, count))
        if there is None and type(self.link) is TcpLink:
            house.now_s += TCP_TIMEOUT_MS / 1000
            raise NobodyError("no connection")
        serial = isinstance(self.link, SerialLink)
        chars_s = 17 * self.link.char_ns / 1e9 if isinstance(self.link, SerialLink) else 0.0
        try:
            if there is None:
                raise BusError("no answer in time")
            return there(unit, function, address, count)
        except RefusedError:
            raise
        except BusError:
            house.now_s += TRIES * ((SERIAL_TIMEOUT_MS if serial else TCP_TIMEOUT_MS) / 1000 + chars_s)
            raise

    def close(self) -> None:
        self.house.in_use.remove(self.where)


def quiet(_done: int, _total: int) -> None:
    pass


def at(path: str, baud: int, parity: str) -> Link:
    return SerialLink(path, baud, parity)


SDM_WORDS = of_unit(1, 4, floats(SDM) | dict.fromkeys((i for i in range(72) if i not in (0, 1, 70, 71)), 0))


def test_a_line_where_nobody_is_is_left_after_all_settings_within_its_bound() -> None:
    house, steps = House(), list[tuple[int, int]]()
    assert scan_serial("/dev/a", (1, 2, 3), house.open, lambda done, total: steps.append((done, total))) == []
    assert house.opened == lines_of("/dev/a")
    assert len(house.asked) == len(LINES) * 3 * len(PRESENCE)
    bound_s = sum(longest_s(link, 3) for link in lines_of("/dev/a"))
    assert 0.7 * bound_s < house.now_s <= bound_s  # a bound, and no idle one
    assert steps == [(i + 1, len(LINES)) for i in range(len(LINES))]


def test_the_settings_are_each_once_and_hold_the_usual_ones() -> None:
    assert len(set(LINES)) == len(LINES)
    assert {(b, p) for b in (2400, 9600, 19200, 38400, 115200) for p in "NE"} | {(9600, "O")} <= set(LINES)
    assert sum(longest_s(link, 10) for link in lines_of("/dev/a")) < 300.0  # nobody waits longer for an empty line


@pytest.mark.parametrize(("baud", "parity"), LINES)
def test_a_meter_is_found_at_whatever_settings_it_has(baud: int, parity: str) -> None:
    house = House({at("/dev/a", baud, parity): Device(SDM_WORDS)})
    (place,) = scan_serial("/dev/a", (1,), house.open, quiet)
    assert (place.link, place.found.maps[0]) == (at("/dev/a", baud, parity), "eastron-sdm630")
    assert house.opened == lines_of("/dev/a")[: LINES.index((baud, parity)) + 1]  # and no setting after it


def test_two_units_of_one_line() -> None:
    both = {**SDM_WORDS, **{(7, f, a): w for (_, f, a), w in sunspec("Acme", *inverter()).items()}}
    house = House({at("/dev/a", 9600, "N"): Device(both)})
    found = scan_serial("/dev/a", range(1, 9), house.open, quiet)
    assert sorted((p.found.unit, p.found.kind) for p in found) == [(1, "meter"), (7, "inverter")]


def test_an_address_where_nobody_is_costs_one_connection_and_one_datagram() -> None:
    house = House()
    assert scan_host(TcpLink("10.0.0.1"), TCP_UNITS, house.open) == []
    assert [type(link) for link, *_ in house.asked] == [TcpLink, UdpLink]


def test_one_that_listens_and_never_answers_is_left_within_its_bound() -> None:
    house = House({TcpLink("10.0.0.1"): Device({})})
    assert scan_link(TcpLink("10.0.0.1"), TCP_UNITS, house.open) == []
    assert house.now_s <= longest_s(TcpLink("10.0.0.1"), len(TCP_UNITS)) < 60.0


def test_a_device_that_looks_at_no_unit_is_found_once() -> None:
    everybody = {(u, f, a): w for (_, f, a), w in SDM_WORDS.items() for u in range(256)}
    house = House({TcpLink("10.0.0.1"): Device(everybody)})
    (place,) = scan_host(TcpLink("10.0.0.1"), TCP_UNITS, house.open)
    assert place.found.unit == 1


def test_a_gateway_is_asked_for_all_its_units() -> None:
    gateway = {(u, f, a): w for (_, f, a), w in SDM_WORDS.items() for u in (2, 5)}
    house = House({TcpLink("10.0.0.1"): Device(gateway)})
    assert [p.found.unit for p in scan_host(TcpLink("10.0.0.1"), TCP_UNITS, house.open)] == [2, 5]


def test_a_meter_that_speaks_udp_alone_is_found_with_its_key() -> None:
    words = of_unit(1, 3, meter_words("victron-vm-3p75ct"))
    house = House({UdpLink("10.0.0.1"): Device(words, zero=True)})
    (place,) = scan_host(TcpLink("10.0.0.1"), TCP_UNITS, house.open)
    assert place.found.maps == ("victron-vm-3p75ct",)
    assert "  udp: true" in list(lines([place]))


def test_a_network_is_searched_and_told_in_the_order_of_its_addresses() -> None:
    hosts = hosts_of("192.168.1.77/29")
    assert [h.host for h in hosts] == [f"192.168.1.{n}" for n in range(73, 79)]
    house = House({hosts[4]: Device(SDM_WORDS), hosts[1]: Device(SDM_WORDS)})
    found = scan_hosts(hosts, (1,), house.open, quiet)
    assert [p.link for p in found] == [hosts[1], hosts[4]]
    assert house.in_use == []


# fmt: off
UNITS = [
    # text       serial  units                 why
    (None,       True,   tuple(range(1, 11)),  "usual ones"),
    (None,       False,  TCP_UNITS,            "and those of gateways"),
    ("1-3,7,2",  True,   (1, 2, 3, 7),         "in this order, each once"),
    ("0,255",    False,  (0, 255),             "TCP has them"),
]
# fmt: on


@pytest.mark.parametrize(("text", "serial", "units", "why"), UNITS, ids=[c[-1] for c in UNITS])
def test_units(text: str | None, serial: bool, units: tuple[int, ...], why: str) -> None:
    assert units_of(text, serial) == units


# ---- what it prints ----

SITE = """\
schema: 1
name: found
start_mode: shadow
i_accept: slow-response
settings: {freq_droop: {enable: false}}
"""
TCP, LINE = TcpLink("192.168.1.5", 1502), SerialLink("/dev/ttyUSB0", 19200, "E")
A_METER, AN_INVERTER = (who_is(sunspec("Acme", *bodies))[0] for bodies in ([METER], inverter()))


def loaded(folder: Path, *places: Place) -> Any:
    path = folder / "site.yaml"
    path.write_text(SITE + "\n".join(lines(places)) + "\n")
    return load_site(path)


@pytest.mark.parametrize("link", [TCP, UdpLink("192.168.1.5"), LINE], ids=str)
def test_the_lines_load_as_they_stand(tmp_path: Path, link: Link) -> None:
    """One SunSpec device may be both, under one unit."""
    site = loaded(tmp_path, Place(link, A_METER), Place(link, AN_INVERTER))
    assert (site.meter.link, site.meter.map, site.meter.phases) == (link, "sunspec-meter", "L1L2L3")
    assert (site.inverter.link, site.inverter.unit, site.inverter.reversion_s) == (link, 1, 10)
    assert site.meter.location == "connection"


@pytest.mark.parametrize(("unit", "words", "maps", "why"), [c for c in INVERTERS if c[2]], ids=lambda v: str(v)[:40])
def test_the_lines_of_every_inverter_load(
    tmp_path: Path, unit: int, words: Words, maps: tuple[str, ...], why: str
) -> None:
    """Some cannot say their power: then the meter stands at the inverter, as the remark says."""
    found = who_is(words, unit, zero=True)
    text = SITE + "\n".join(lines([Place(LINE, A_METER), Place(TCP, found[0])])) + "\n"
    if "needs `location: inverter`" in text:
        text = text.replace("location: connection", "location: inverter")
    text = text.replace("{freq_droop:", "{rating: {p_rated_w: 7000, p_charge_rated_w: 7000}, freq_droop:")
    (tmp_path / "site.yaml").write_text(text)
    assert load_site(tmp_path / "site.yaml").inverter.map == maps[0]


def test_the_page_shows_what_is_printed() -> None:
    (sdm,) = who_is(of_unit(1, 4, floats({0: 230.0, 2: 231.0, 4: 229.0, 70: 60.0, 12: 1410.0, 52: 1410.0})), zero=True)
    shown = "\n".join(list(lines([Place(TcpLink("192.168.1.61", 1502), sdm)]))[1:])
    assert f"```yaml\n{shown}\n```" in (Path(__file__).parents[2] / "docs/devices.md").read_text()


def test_a_second_meter_is_a_comment(tmp_path: Path) -> None:
    other = TcpLink("192.168.1.6")
    site = loaded(tmp_path, Place(TCP, A_METER), Place(other, A_METER), Place(LINE, AN_INVERTER))
    assert site.meter.link == TCP
    assert "#   host: 192.168.1.6" in (tmp_path / "site.yaml").read_text()


def test_a_find_is_one_line_with_its_values() -> None:
    (sdm,) = who_is(of_unit(1, 4, floats(SDM | {2: 231.0, 4: 229.0, 52: -1500.0, 12: -1500.0})), zero=True)
    assert headline(Place(LINE, sdm)) == (
        "/dev/ttyUSB0 (19200 8E1) unit 1: looks like eastron-sdm630 (50.00 Hz, 230.0 V, 231.0 V, 229.0 V, 1500 W); "
        "no register tells it from eastron-sdm72: its nameplate does"
    )
    assert headline(Place(TCP, A_METER)) == (
        "192.168.1.5:1502 unit 1: meter Acme M1, serial number 42, map sunspec-meter (49.98 Hz, 230.0 V, 231.5 V, "
        "229.2 V, -2000 W)"
    )


def test_others_are_told_together_and_not_where_an_exception_means_nobody() -> None:
    nobody = [Place(TCP, Found(unit=u, note=REFUSES)) for u in (2, 3)]
    (told,) = others(nobody)
    assert told.startswith("192.168.1.5:1502 unit 2: answers with exceptions only")
    assert "(so do units 3)" in told
    assert others([Place(TCP, A_METER), *nobody]) == []


def test_the_same_for_a_program() -> None:
    told = as_json([Place(TCP, A_METER), Place(LINE, Found(unit=9, note=UNKNOWN))])
    (meter,), (other,) = told["devices"], told["others"]
    assert meter["site"]["meter"] == {
        "map": "sunspec-meter",
        "host": "192.168.1.5",
        "port": 1502,
        "unit": 1,
        "location": "connection",
        "phases": "L1L2L3",
    }
    assert (meter["maker"], meter["serial_number"], meter["seen"]["p_w"]) == ("Acme", "42", -2000.0)
    assert (other["where"], other["unit"], other["why"]) == ("/dev/ttyUSB0 (19200 8E1)", 9, UNKNOWN)


# ---- the command, on real wires ----


def v2g(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.main(["scan", *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


# fmt: off
BAD = [
    # arguments                                            the line holds
    (["--serial", "/dev/null/x"],                          "is no serial port; ports of this machine: "),
    (["--host", ":502"],                                   "--host :502: ADDRESS or ADDRESS:PORT"),
    (["--host", "10.0.0.1:0"],                             "10.0.0.1:0: ADDRESS or ADDRESS:PORT, the port 1 ... 65535"),
    (["--host", "10.0.0.1:x"],                             "--host 10.0.0.1:x: ADDRESS or ADDRESS:PORT"),
    (["--network", "192.168.1.0/33"],                      "is no IPv4 network; like 192.168.1.0/24"),
    (["--network", "8.8.8.0/24"],                          "8.8.8.0/24 is not a private network"),
    (["--network", "10.0.0.0/8"],                          "has 16777216 addresses; at most 1024 (/22)"),
    (["--host", "127.0.0.1", "--units", "1-300"],          "--units 1-300: '1-300'"),
    (["--host", "127.0.0.1", "--units", "5-2"],            "--units 5-2: '5-2'"),
    (["--host", "127.0.0.1", "--units", "1,,2"],           "--units 1,,2: ''"),
    (["--serial", "/dev/null", "--units", "0"],            "'0' is no unit or range of 1 ... 247"),
    (["--host", "127.0.0.1", "--network", "10.0.0.0/24"],  "--host and --network exclude each other"),
    ([],                                                   "where? --serial PORT ("),
    (["--serial"],                                         "where? --serial PORT ("),
]
# fmt: on


@pytest.mark.parametrize(("arguments", "text"), BAD, ids=[" ".join(c[0]) or "nothing" for c in BAD])
def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], text: str) -> None:
    code, _, told = v2g(capsys, *arguments)
    assert (code, told.count("\n")) == (2, 1)
    assert text in told


def test_the_ports_are_listed_when_none_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.commands.scan.port_names", lambda: ["/dev/ttyUSB0", "/dev/ttyUSB1"])
    assert v2g(capsys, "--serial")[:2] == (2, "/dev/ttyUSB0\n/dev/ttyUSB1\n")


def test_a_port_that_cannot_be_opened_costs_the_others_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with line({1: floats(SDM)}) as there:
        code, out, told = v2g(capsys, "--serial", "/dev/null", there.link.path, "--units", "1")
    assert code == 0
    assert f"  serial: {there.link.path}" in out
    assert [text for text in told.splitlines() if text.startswith("/dev/null: cannot be opened")]
    assert v2g(capsys, "--serial", "/dev/null")[:2] == (3, "")


def test_nobody_at_an_address_is_3(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, told = v2g(capsys, "--host", f"127.0.0.1:{free_port()}")
    assert (code, out) == (3, "")
    assert "no known device answered" in told.splitlines()[-1]


def test_on_a_wire_there_is_nothing_but_functions_3_and_4(capsys: pytest.CaptureFixture[str]) -> None:
    """A charger whose every register may be written: it looks as before, and no frame tried to change it."""
    before = quasar_words()
    with device(before) as d:
        code, out, _ = v2g(capsys, "--host", f"127.0.0.1:{d.port}", "--units", "1")
        requests, after = list(d.requests), dict(d.words)
    assert code == 0
    assert "looks like wallbox-quasar1" in out
    assert {q.function for q in requests} == {3, 4}
    assert after == before


def test_a_network_is_searched_on_real_sockets_and_told_to_a_program(capsys: pytest.CaptureFixture[str]) -> None:
    with device(quasar_words()) as d:
        code, out, _ = v2g(capsys, "--network", f"127.0.0.0/29:{d.port}", "--units", "1", "--json")
    assert code == 0
    (found,) = json.loads(out)["devices"]
    assert found["site"]["inverter"] == {
        "map": "wallbox-quasar1",
        "host": "127.0.0.1",
        "port": d.port,
        "unit": 1,
        "reversion_s": 10,
    }


def test_a_device_of_exceptions_is_3_and_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with device(rule=lambda q: reply(q, bytes([q.function | 0x80, 2]))) as d:
        code, out, told = v2g(capsys, "--host", f"127.0.0.1:{d.port}", "--units", "1-2")
    assert (code, out) == (3, "")
    assert f"127.0.0.1:{d.port} unit 1: answers with exceptions only" in told


@pytest.mark.parametrize("code", [10, 11])
def test_a_gateway_without_the_unit_is_nobody(code: int) -> None:
    with device(rule=lambda q: reply(q, bytes([q.function | 0x80, code]))) as d:
        link = TcpLink("127.0.0.1", d.port)
        assert scan_link(link, (1, 2), lambda to: WireAsker(to, threading.Event())) == []


def test_a_unit_is_found_behind_some_that_hang_up() -> None:
    """A wire waits ever longer to connect again; that must not make the next unit look like nobody."""
    with device(floats(SDM), rule=lambda q: None if q.unit == 4 else HANG_UP) as d:
        link = TcpLink("127.0.0.1", d.port)
        (place,) = scan_link(link, (1, 2, 3, 4), lambda to: WireAsker(to, threading.Event()))
    assert place.found.unit == 4


def test_without_a_connection_there_is_nobody() -> None:
    with closing(WireAsker(TcpLink("127.0.0.1", free_port()), threading.Event())) as ask, pytest.raises(NobodyError):
        ask(1, 3, 40000, 2)


def refused(q: Question) -> bytes:
    return rtu(q.unit, bytes([q.function | 0x80, 1]))


def test_two_units_on_a_real_line_are_found_and_never_written() -> None:
    units = {1: floats(SDM), 2: lay_out([named("Acme"), *inverter()[1:]])}
    with line(units) as rtu_line:
        wrong = {1: 3, 2: 4}  # a meter of input registers, an inverter of holding registers
        rtu_line.rule = lambda q: refused(q) if wrong.get(q.unit) == q.function else None
        path = rtu_line.link.path
        found = scan_link(SerialLink(path, 9600), (1, 2, 3), lambda to: WireAsker(to, threading.Event()))
        asked = list(rtu_line.questions)
    assert [(p.found.unit, p.found.kind) for p in found] == [(1, "meter"), (2, "inverter")]
    assert {q.function for q in asked} == {3, 4}
    assert rtu_line.broken == []


def test_a_port_that_refuses_a_setting_is_asked_at_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise LineError("/dev/ttyUSB0 (9600 8N1): the port does not have this setting (Invalid argument)")

    with line({1: floats(SDM)}) as there:
        link = SerialLink(there.link.path, 9600)
        with monkeypatch.context() as patch:
            patch.setattr("controller.scan.Wire", refuse)
            assert scan_link(link, (1,), lambda to: WireAsker(to, threading.Event())) == []
        assert scan_link(link, (1,), lambda to: WireAsker(to, threading.Event())) != []


def test_a_scan_that_is_stopped_asks_nobody_any_more() -> None:
    stop = threading.Event()
    stop.set()
    with device(floats(SDM)) as d:
        assert scan_link(TcpLink("127.0.0.1", d.port), (1,), lambda to: WireAsker(to, stop)) == []
        assert d.requests == []


def test_a_maps_question_is_asked_once() -> None:
    """Many maps read the same words; a slow line pays for each question."""
    there = Device(of_unit(1, 4, floats(SDM)), zero=True)
    identify(Unit(there, 1))
    assert len(set(there.asked)) == len(there.asked)

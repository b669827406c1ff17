"""pysunspec2 as client of the simulated inverter: it and we see the same in every point of models 701 to 715.

Two witnesses of one device: pysunspec2 with the SunSpec Alliance's own model definitions, and our tables. A mistake in
ours, or in the simulator's, which is written apart from them, shows as a difference.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from drivers.modbus.link import TcpLink
from drivers.sunspec.adopt import adopt, set_points
from drivers.sunspec.models import MODELS
from drivers.sunspec.points import Table, read_tables
from drivers.sunspec.wire import Port
from tests.drivers.sim.conftest import PATIENCE_S, Simulation, until

pytest.importorskip("sunspec2", reason="pysunspec2 is the oracle")
ALL = list(range(701, 716))


def flat(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(path, value) of a tree; lists counted from 0."""
    children: Any = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        yield from flat(child, f"{prefix}{key}.")
    if not isinstance(node, (dict, list)):
        yield prefix[:-1], node


class Witnesses:
    """One simulated inverter, and the two who look at it."""

    def __init__(self, simulation: Simulation) -> None:
        self.modbus = simulation.serve("inverter", "--v-nom", "230")
        self.port_number = int((simulation.folder / "inverter.port").read_text())
        self.port = Port(TcpLink("127.0.0.1", self.port_number), 1, 60.0, 2000)
        client = importlib.import_module("sunspec2.modbus.client")
        self.theirs = client.SunSpecModbusClientDeviceTCP(slave_id=1, ipaddr="127.0.0.1", ipport=self.port_number)
        self.theirs.timeout = PATIENCE_S

    def ours(self) -> dict[int, Table]:
        return read_tables(self.port.read)

    def scan(self) -> dict[int, Any]:
        self.theirs.scan()
        return {m.model_id: m for m in self.theirs.model_list}

    def model(self, number: int) -> Any:
        """Their model, read anew."""
        model = self.theirs.models[number][0]
        model.read()
        return model

    def close(self) -> None:
        self.port.close()
        self.theirs.close()


@pytest.fixture
def witnesses(simulation: Simulation) -> Iterator[Witnesses]:
    both = Witnesses(simulation)
    yield both
    both.close()


def test_pysunspec2_finds_whole_models_without_an_error(witnesses: Witnesses) -> None:
    found = witnesses.scan()
    assert sorted(found) == [1, *ALL]
    assert {n: m.error_info for n, m in found.items()} == dict.fromkeys(found, "")
    for number, model in found.items():
        assert len(model.get_mb()) == 2 * (2 + model.points["L"].value), f"length of model {number}"


# what moves by itself between two looks
MOVING = {"715.DERHb", "714.DCWhInj", "714.DCWhAbs"}


def test_both_see_the_same_in_every_point(witnesses: Witnesses) -> None:
    theirs = {
        f"{number}.{path}": value for number, m in witnesses.scan().items() if number > 1
        for path, value in flat(m.get_dict())
    }  # fmt: skip
    ours = {
        f"{number}.{path}": value for number, table in witnesses.ours().items() for path, value in flat(table.tree())
    }
    assert ours.keys() == theirs.keys()
    different = {name: (ours[name], theirs[name]) for name in ours if ours[name] != theirs[name]}
    assert not different.keys() - MOVING, different
    assert len(ours) == 903
    implemented = [name for name, value in ours.items() if value is not None]
    assert len(implemented) > 500, f"only {len(implemented)}: a device that implements little proves little"


def test_scaled_values_agree_too(witnesses: Witnesses) -> None:
    found, tables = witnesses.scan(), witnesses.ours()
    compared = 0
    for number in ALL:
        theirs = dict(flat(found[number].get_dict(computed=True)))
        table = tables[number]
        for path, place in table.places.items():
            raw = table.number(path)
            if not place.factor or raw is None:
                continue
            exponent = table.number(place.factor)
            assert exponent is not None
            assert raw * 10.0**exponent == pytest.approx(theirs[path], rel=1e-12), f"{number}.{path}"
            compared += 1
    assert compared > 300


def test_every_model_is_ours() -> None:
    assert sorted(MODELS) == ALL


# fmt: off
SETS = [
    # model  points of the set in the device's integers                                        why
    (705, {"ActPt": 4, "DeptRef": 3, "Pri": 1, "VRef": 1010, "RspTms": 75,
           "Pt.0.V": 900, "Pt.0.Var": 440, "Pt.1.V": 970, "Pt.1.Var": 100,
           "Pt.2.V": 1030, "Pt.2.Var": -100, "Pt.3.V": 1100, "Pt.3.Var": -440},                "volt-var"),
    (706, {"ActPt": 2, "DeptRef": 0, "RspTms": 300,
           "Pt.0.V": 1050, "Pt.0.W": 1000, "Pt.1.V": 1090, "Pt.1.W": -500},                    "volt-watt"),
    (707, {"MustTrip.ActPt": 5, "MustTrip.Pt.1.V": 450, "MustTrip.Pt.2.V": 450},               "under-voltage trip"),
    (710, {"MustTrip.Pt.1.Hz": 5250, "MustTrip.Pt.2.Hz": 5250, "MustTrip.Pt.0.Tms": 50},       "over-frequency trip"),
    (711, {"DbOf": 20, "DbUf": 30, "KOf": 40, "KUf": 30, "RspTms": 2},                         "droop"),
    (712, {"ActPt": 6, "DeptRef": 3, "Pri": 0, "Pt.0.W": -1000, "Pt.0.Var": 250, "Pt.5.W": 1000, "Pt.5.Var": -250},
                                                                                               "watt-var"),
]
# fmt: on


@pytest.mark.parametrize(("number", "points", "why"), SETS, ids=[s[-1] for s in SETS])
def test_a_set_we_bring_into_force_is_what_pysunspec2_reads(
    witnesses: Witnesses, number: int, points: dict[str, int], why: str
) -> None:
    word = "Ctl" if number == 711 else "Crv"
    witnesses.scan()
    before = dict(flat(witnesses.model(number).get_dict()))
    clock = iter(range(1000))
    adopt(witnesses.port, witnesses.ours()[number], points, 100.0, lambda: float(next(clock)), wait_a_little)
    after = dict(flat(witnesses.model(number).get_dict()))
    changed = {path.removeprefix(f"{word}.0.") for path in after if path.startswith(f"{word}.0.")}
    assert {p: after[f"{word}.0.{p}"] for p in points} == points
    assert {p: after[f"{word}.1.{p}"] for p in points} == points  # the slot it came from
    untouched = changed - points.keys()
    assert {p: after[f"{word}.0.{p}"] for p in untouched} == {p: before[f"{word}.0.{p}"] for p in untouched}
    assert (after[f"Adpt{word}Req"], after[f"Adpt{word}Rslt"]) == (2, 1)


def wait_a_little(seconds: float) -> None:
    import time

    time.sleep(seconds / 10)


def test_what_pysunspec2_brings_into_force_is_what_we_read(witnesses: Witnesses) -> None:
    witnesses.scan()
    model = witnesses.model(711)
    control = model.Ctl[2]
    control.DbOf.cvalue, control.KUf.cvalue, control.RspTms.cvalue = 0.5, 0.02, 9.9
    control.write()
    model.AdptCtlReq.value = 3
    model.AdptCtlReq.write()
    until(lambda: witnesses.ours()[711].number("AdptCtlRslt") == 1, "the adoption")
    table = witnesses.ours()[711]
    assert [table.number(f"Ctl.0.{p}") for p in ("DbOf", "DbUf", "KOf", "KUf", "RspTms")] == [500, 36, 50, 20, 99]


def test_enables_and_plain_points(witnesses: Witnesses) -> None:
    witnesses.scan()
    set_points(witnesses.port, witnesses.ours()[704], {"PFWInjEna": 1, "PFWInj.PF": 950, "PFWInj.Ext": 1})
    model = witnesses.model(704)
    assert (model.PFWInjEna.value, model.PFWInj.PF.cvalue, model.PFWInj.Ext.value) == (1, 0.95, 1)


# fmt: off
READ_ONLY: list[tuple[int, str, Sequence[int], str]] = [
    # model  point               words       why
    (705,    "Crv.0.Pt.0.V",     [900],      "the curve in force"),
    (705,    "Crv.1.ReadOnly",   [1],        "whether a set may be written is the device's to say"),
    (705,    "AdptCrvRslt",      [1],        "so is the result"),
    (711,    "Ctl.0.KOf",        [10],       "the droop in force"),
    (715,    "DERHb",            [0, 1],     "the device's own count"),
    (714,    "DCW",              [1],        "a measurement"),
]
# fmt: on


@pytest.mark.parametrize(("number", "path", "words", "why"), READ_ONLY, ids=[r[-1] for r in READ_ONLY])
def test_what_cannot_be_written(witnesses: Witnesses, number: int, path: str, words: Sequence[int], why: str) -> None:
    table = witnesses.ours()[number]
    assert witnesses.modbus.write_registers(table.address(path), list(words)).exception_code == 2
    now = witnesses.ours()[number]
    assert now.raw(path) == table.raw(path) or path == "DERHb"

"""The simulator's CAN faces against cantools and bytes by hand; its own silence timer."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from cantools.database.can import Database

import drivers.mapfile
from drivers.sim.can_inverter import EXTENDED, Acme, CanFrame, InfypowerBeg
from drivers.sim.plant import Inverter, Session, Unit

DBC = Database()
DBC.add_dbc_file(Path(drivers.mapfile.__file__).parent / "maps" / "TEMPLATE-CAN.dbc")


def unit() -> Unit:
    return Unit(Inverter(dead_s=0.0, lag_s=0.0))


def read(frame: CanFrame) -> dict[str, Any]:
    identifier, data = frame
    found = DBC.decode_message(identifier & ~EXTENDED, data)
    assert isinstance(found, dict)
    return found


def test_acme_says_what_its_dbc_says() -> None:
    face = Acme(unit(), 2.0)
    face.unit.session = Session.ENDED
    state, first, second, limits = (read(f) for f in face.due(0.0))
    assert state == {"power": 0, "dc_voltage": 380.0, "mode": 1, "car": 4, "alive": 1, "soc": 60.0}
    assert (first, second) == ({"which": 1, "power_set": 0}, {"which": 2, "reactive_set": 0})
    assert limits == {"max_discharge": 7000, "max_charge": 7200, "max_apparent": 7400}
    assert face.due(0.01) == []
    assert [f[0] for f in face.due(0.051)] == [Acme.STATE]
    assert read(face.due(0.102)[0])["alive"] == 3


def test_acme_counts_into_the_car_and_has_a_timer() -> None:
    face = Acme(unit(), 2.0)
    face.take(Acme.SETPOINT, DBC.encode_message("SETPOINT", {"power": 3000, "reactive": 0, "run": 1, "alive": 0}))
    face.step(1.5)
    assert face.unit.inverter.p_w == -3000.0
    face.take(Acme.HEARTBEAT, b"\x01")  # begins anew
    face.step(1.5)
    assert (face.unit.inverter.p_w, face.run) == (-3000.0, 1)
    face.step(0.6)
    assert (face.unit.inverter.p_w, face.run) == (0.0, 0)
    face.take(Acme.SETPOINT, bytes(7))  # a byte short: no set-point
    face.step(0.1)
    assert face.unit.inverter.p_w == 0.0


BEG_WRITE, BEG_READ = 0x82A400F0, 0x82A300F0


def ordered(face: InfypowerBeg, *writes: tuple[int, int]) -> None:
    for item, raw in writes:
        (answer,) = face.take(BEG_WRITE, struct.pack(">HHi", item, 0, raw))
        assert answer == (0x82A4F000, struct.pack(">HHI", item, 0, 0))


CHARGE = ((0x2110, 0xA0), (0x1001, 420_000), (0x1002, 10_000), (0x1110, 0xA0))

# fmt: off
MODULE = [
    # writes                                         p_w       why
    (CHARGE,                                         -3800.0,  "10 A at 380 V"),
    ((*CHARGE, (0x1001, 200_000)),                   0.0,      "asked for less than the battery has: nothing flows"),
    ((*CHARGE, (0x2110, 0xA1), (0x1001, 300_000)),   3800.0,   "as an inverter, down to 300 V"),
    ((*CHARGE, (0x2110, 0xA1), (0x1001, 1_000_000)), 0.0,      "not below 1000 V: nothing flows"),
    ((*CHARGE, (0x1110, 0xA1)),                      0.0,      "off"),
]
# fmt: on


@pytest.mark.parametrize(("writes", "p_w", "why"), MODULE, ids=[c[-1] for c in MODULE])
def test_the_module(writes: tuple[tuple[int, int], ...], p_w: float, why: str) -> None:
    face = InfypowerBeg(unit())
    ordered(face, *writes)
    face.step(0.1)
    assert face.unit.inverter.p_w == p_w
    (answer,) = face.take(BEG_READ, bytes.fromhex("2108000000000000"))
    assert answer == (0x82A3F000, bytes.fromhex("21080000") + struct.pack(">i", round(-1000 * p_w)))


def test_the_module_goes_off_after_ten_silent_seconds() -> None:
    face = InfypowerBeg(unit())
    ordered(face, *CHARGE)
    face.step(9.0)
    face.take(BEG_READ, bytes.fromhex("1001000000000000"))  # a question keeps it going
    face.step(9.0)
    assert face.unit.inverter.p_w == -3800.0
    face.step(1.1)
    assert (face.unit.inverter.p_w, face.on) == (0.0, False)


@pytest.mark.parametrize("identifier", [BEG_READ + (1 << 8), BEG_READ & ~EXTENDED, 0x82A500F0], ids=hex)
def test_frames_for_others(identifier: int) -> None:
    assert InfypowerBeg(unit()).take(identifier, bytes(8)) == []

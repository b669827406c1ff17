"""v2g scan --can: whose frames they are, by frames typed by hand. On a real interface: tests/system/can_guest.py.

Identifiers of Infypower modules: test_infypower.py. The last byte is the module's address.
"""

from __future__ import annotations

import socket
from functools import cache
from pathlib import Path

import pytest

from controller import cli
from controller.scan import Place
from controller.scancan import Known, Seen, devices_in, known_devices, listen, strangers
from controller.scanlines import as_json, headline, lines
from controller.site import load_site
from drivers.base import BusError
from drivers.can.canmap import CanMap
from drivers.can.dbc import can_plan
from drivers.can.link import CanLink
from drivers.mapfile import load_map, map_names
from tests.controller.test_scan import SITE

CAN0 = CanLink("can0")
known = cache(known_devices)


def beg(text: str, unit: int = 3) -> Seen:
    return Seen(0x02A3F000 + unit, True, bytes.fromhex(text))


def v113(command: int, text: str, unit: int = 3) -> Seen:
    return Seen(0x0280F000 + (command << 16) + unit, True, bytes.fromhex(text))


CHARGES, ON = "21 08 00 00 00 39 fb c0", "11 10 00 00 00 00 00 00"
BEG, V113 = "infypower-beg", "infypower-v113"
OUTPUT = v113(3, "43be0000 41200000")  # 380 V and 10 A
# fmt: off
HEARD = [
    # frames                                      (map, unit, of its frames)           why
    ([],                                          [],                                  "silence"),
    ([beg(CHARGES)],                              [(BEG, 3, "1 of its 5 frames")],     "one is enough"),
    ([beg(CHARGES), beg(ON), beg(CHARGES)],       [(BEG, 3, "2 of its 5 frames")],     "each counts once"),
    ([OUTPUT],                                    [(V113, 3, "1 of its 4 frames")],    "the other protocol"),
    ([OUTPUT, beg(CHARGES, 7), beg(ON, 7)],
     [(BEG, 7, "2 of its 5 frames"), (V113, 3, "1 of its 4 frames")],                  "two on one bus"),
    ([beg(ON, 0), beg(ON, 255)],
     [(BEG, 0, "1 of its 5 frames"), (BEG, 255, "1 of its 5 frames")],                 "the ends of the units"),
    ([beg("99 99 00 00 00 00 00 00")],            [],                                  "an item nobody asked for"),
    ([beg("21 08 00 00 00 39 fb")],               [],                                  "seven bytes"),
    ([Seen(0x3F003, False, beg(CHARGES).data)],   [],                                  "not 29 bits"),
    ([Seen(0x02A400F0, True, bytes(8))],          [],                                  "of a controller"),
    ([Seen(0x02A3F100, True, beg(CHARGES).data)], [],                                  "no unit 256"),
]
# fmt: on


@pytest.mark.parametrize(("frames", "expected", "why"), HEARD, ids=[c[-1] for c in HEARD])
def test_whose_frames_they_are(frames: list[Seen], expected: list[tuple[str, int, str]], why: str) -> None:
    assert [(*f.maps, f.unit, f.note) for f in devices_in(frames, known())] == expected


def test_every_can_map_is_listened_for() -> None:
    assert [k.name for k in known()] == [n for n in map_names(["inverter"]) if isinstance(load_map(n), CanMap)]


def test_what_it_says_is_shown_and_a_module_that_is_asked_has_another_controller() -> None:
    (found,) = devices_in([beg(CHARGES), beg(ON)], known())
    assert found.seen == {"p_w": -3800.0}  # 3 800 000 mW drawn from the grid
    assert headline(Place(CAN0, found)) == (
        "can0 unit 3: looks like infypower-beg (2 of its 5 frames, -3800 W); but it speaks when it is asked: another "
        "controller does that, end it before this one starts"
    )


def test_a_device_that_speaks_by_itself_needs_no_other_controller() -> None:
    """The invented charger of the template: its identifiers hold no unit, so any unit is as good."""
    template = str(Path(cli.__file__).parents[1] / "drivers/maps/TEMPLATE-CAN.yaml")
    acme = Known("acme", None, can_plan(template, 0, 2, 200, 300))
    state = Seen(0x310, False, bytes.fromhex("30f8 d80e 22 01 78 00"))  # -2000: into the car negative, 380.0 V, mode 2
    (found,) = devices_in([state], [acme])
    assert (found.unit, found.but, found.seen["p_w"]) == (0, "", 2000.0)
    assert devices_in([Seen(0x311, True, state.data)], [acme]) == []


def test_strangers_are_named_as_candump_does() -> None:
    frames = [beg(CHARGES), Seen(0x351, False, bytes(8)), Seen(0x351, False, bytes(8)), Seen(0x1872, True, bytes(8))]
    assert strangers(frames, known()) == ["00001872", "351"]


def test_its_lines_load(tmp_path: Path) -> None:
    (found,) = devices_in([beg(CHARGES)], known())
    text = SITE.replace("{freq_droop:", "{rating: {v_nom_v: 230}, freq_droop:")
    meter = "meter: {map: eastron-sdm630, host: 10.0.0.1, location: inverter, phases: L1}\n"
    (tmp_path / "site.yaml").write_text(text + meter + "\n".join(lines([Place(CAN0, found)])) + "\n")
    site = load_site(tmp_path / "site.yaml")
    assert (site.inverter.can, site.inverter.map, site.inverter.unit) == ("can0", "infypower-beg", 3)
    assert site.inverter.reversion_s == 10  # its own timer is fixed
    (told,) = as_json([Place(CAN0, found)])["devices"]
    assert told["site"]["inverter"] == {"map": "infypower-beg", "can": "can0", "unit": 3, "reversion_s": 10}


# fmt: off
BAD = [
    # arguments                        code  the line
    (["--can", "a b"],                 2,    "v2g scan: --can = a b is not the name of an interface"),
    (["--can", "can0", "--units", "3"], 2,   "v2g scan: --units belongs to Modbus; on CAN every unit is heard"),
    (["--can", "can0", "--host", "h"], 2,    "v2g scan: --host and --can exclude each other"),
    (["--can", "lo"],                  3,    "lo: is no CAN interface (type 772 instead of 280); name another one"),
    (["--can", "nosuch0"],             3,    "nosuch0: no such interface; as root: ip link set nosuch0 type can"),
]
# fmt: on


@pytest.mark.parametrize(("arguments", "code", "line"), BAD, ids=[" ".join(c[0]) for c in BAD])
def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, line: str) -> None:
    assert cli.main(["scan", *arguments]) == code
    told = capsys.readouterr().err
    assert told.startswith(line)
    assert told.count("\n") == 1


def test_frames_are_told_from_error_and_remote_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pair of sockets stands for the interface: bytes as the kernel lays them out, struct can_frame."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.settimeout(0.01)
    for raw in (
        "03f0a382 08 000000 2108000000 39fbc0",  # 29 bits: bit 31 of the identifier
        "51030000 02 000000 0102000000 000000",  # two bytes
        "51030040 08 000000 0000000000 000000",  # a remote frame: bit 30
        "04000020 08 000000 0000000000 000000",  # an error frame: bit 29
    ):
        theirs.send(bytes.fromhex(raw))
    monkeypatch.setattr("controller.scancan.interface_of", lambda _link: ours)
    shares: list[tuple[int, int]] = []
    frames, errors = listen(CAN0, 0.1, lambda done, total: shares.append((done, total)))
    assert frames == [beg(CHARGES), Seen(0x351, False, b"\x01\x02")]
    assert errors == 1
    assert shares[0][1] == 100
    with pytest.raises(OSError, match="Bad file descriptor"):
        ours.send(b"")  # it is closed, and nothing was sent
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(16)


def test_an_interface_that_goes_away_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_link: CanLink) -> socket.socket:
        raise OSError(100, "Network is down")

    monkeypatch.setattr("controller.scancan.interface_of", gone)
    with pytest.raises(BusError, match=r"^can0: cannot be listened to: Network is down$"):
        listen(CAN0, 0.1, lambda _done, _total: None)

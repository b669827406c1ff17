"""The simulator over Modbus/UDP: our bus, pymodbus's own client and `v2g scan` see the same device in datagrams."""

from __future__ import annotations

import socket
import struct
import threading
import time

import pytest
from pymodbus.client import ModbusUdpClient

from controller.scan import WireAsker, scan_host
from controller.scanlines import lines
from cython_core.realtime.mailbox import Mailbox
from cython_core.records import Command, DeviceState, Measurement, Mode
from drivers.mapfile import load_map
from drivers.modbus.bus import Bus
from drivers.modbus.link import TcpLink, UdpLink
from drivers.registermap import meter_plan
from drivers.sunspec import discover_in_child
from tests.drivers.sim.conftest import PATIENCE_S, Simulation, until
from tests.drivers.sim.test_server import STEADY, trace

METER, INVERTER = 1, 2


@pytest.fixture
def link(simulation: Simulation) -> UdpLink:
    """A meter and an inverter behind one port."""
    simulation.grid("--trace", trace(simulation.folder, STEADY))
    port_file = simulation.folder / "pair.port"
    process = simulation.start("pair", "--udp", "--port-file", str(port_file), "--refresh-s", "0.02")
    until(lambda: port_file.exists() or process.poll() is not None, "the port file")
    return UdpLink("127.0.0.1", int(port_file.read_text()))


def test_meter_and_inverter_over_udp(link: UdpLink) -> None:
    out, state, commands = Mailbox(Measurement), Mailbox(DeviceState), Mailbox(Command)
    bus = Bus(link)
    bus.meter(meter_plan(load_map("eastron-sdm630"), METER, "L1", 300), 20, out)
    bus.inverter(discover_in_child(link, INVERTER, 30, PATIENCE_S), 20, state, commands)
    commands.put(Command(1, time.monotonic_ns(), -3000.0, 0.0, Mode.ACTIVE, 30000))
    powers: dict[str, float] = {}

    def charges() -> bool:
        """Each look empties the boxes."""
        powers.update(
            {n: new.p_w for n, box in (("meter", out), ("inverter", state)) if (new := box.get()) is not None}
        )
        return len(powers) == 2 and all(abs(p_w + 3000.0) < 30.0 for p_w in powers.values())

    bus.start()
    try:
        until(charges, "3 kW into the battery, seen by both")
    finally:
        bus.stop()
    client = ModbusUdpClient("127.0.0.1", port=link.port, timeout=PATIENCE_S)
    assert client.connect()  # type: ignore[no-untyped-call]  # pymodbus has no types here
    words = client.read_input_registers(0x0034, count=2, device_id=METER).registers
    client.close()  # type: ignore[no-untyped-call]  # the same
    (import_w,) = struct.unpack(">f", struct.pack(">2H", *words))
    assert import_w == pytest.approx(3000.0, abs=30.0)  # the meter counts + = import


def test_scan_finds_it_and_says_udp(link: UdpLink) -> None:
    """The host takes no TCP connection there."""
    (place,) = scan_host(TcpLink(link.host, link.port), (METER, INVERTER), lambda to: WireAsker(to, threading.Event()))
    assert (place.link, place.found.maps[0]) == (link, "eastron-sdm630")
    assert "  udp: true" in list(lines([place]))


BUSY = "127.0.0.1:BUSY: Address already in use; allowed: a free --port, or 0 for any"
# fmt: off
REFUSED = [
    # options                     text                                          why
    ("--udp --port BUSY",         BUSY,                                         "a port that another one has"),
    ("--udp --serial /dev/null",  "--serial and --udp exclude each other",      "two endpoints"),
]
# fmt: on


@pytest.mark.parametrize(("options", "text", "why"), REFUSED, ids=[c[-1] for c in REFUSED])
def test_one_line_and_exit_2(simulation: Simulation, options: str, text: str, why: str) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        busy = str(taken.getsockname()[1])
        process = simulation.start("meter", *options.replace("BUSY", busy).split())
        assert process.communicate(timeout=30) == ("", text.replace("BUSY", busy) + "\n")
    assert process.returncode == 2

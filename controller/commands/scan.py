"""Which known device answers on a serial line, at an address, in a network, or speaks on a CAN interface.

Nothing is ever written to a device. What it prints can be put into a site file.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Sequence
from itertools import groupby

from controller.errors import InputError
from controller.progress import Progress
from controller.scan import (
    Open,
    Place,
    WireAsker,
    host_of,
    hosts_of,
    lines_of,
    longest_s,
    port_of,
    scan_hosts,
    scan_serial,
    units_of,
)
from controller.scancan import LISTEN_S, devices_in, known_devices, listen, need_there, strangers
from controller.scanlines import as_json, headline, is_known, lines
from controller.scanunit import REFUSES
from drivers.base import BusError
from drivers.can.link import CanLink
from drivers.modbus.link import Link
from drivers.modbus.serial_port import port_names

EXIT_OK, EXIT_DEVICE = 0, 3
EPILOG = """\
Devices are read by Modbus functions 3 and 4, one question at a time. Stop a
controller that uses the same line or address first: many devices serve one.
On CAN nothing is sent at all: what others say is listened to for 3 s.

exit codes:
  0  a known device was found: stdout holds lines for the site file
  2  an option is wrong, or none says where to look
  3  no known device answered; stderr says what to look at
"""
NOTHING = (
    "v2g scan: no known device answered. Look at its power, the cabling (A and B), its address and its unit: --units "
    "1-247 asks them all, which takes long on a serial line"
)

NOT_HEARD = (
    "v2g scan: no known device was heard. Look at its power, the cabling, the bit rate (`ip -details link show`), the "
    "terminating resistors; one that speaks only when it is asked is silent until a controller runs"
)
MOST_IDS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--serial PORT ... | --host ADDRESS[:PORT] ... | --network NETWORK[:PORT] | --can INTERFACE"""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument(
        "--serial", nargs="*", metavar="PORT", help="serial ports, at all usual settings; without PORT: which there are"
    )
    parser.add_argument("--host", nargs="+", metavar="ADDRESS[:PORT]", help="devices or gateways; port 502 unless said")
    parser.add_argument("--network", metavar="NETWORK[:PORT]", help="all addresses of it, like 192.168.1.0/24")
    parser.add_argument("--can", metavar="INTERFACE", help="who speaks on a SocketCAN interface, like can0")
    parser.add_argument("--units", metavar="UNITS", help="Modbus units, like 1-10,126; default: the usual ones")
    parser.add_argument("--json", action="store_true", help="for programs: one JSON object on stdout")


def run(args: argparse.Namespace) -> int:
    """0: found; 3: no known device."""
    wanted = [name for name in ("serial", "host", "network", "can") if getattr(args, name) is not None]
    if len(wanted) > 1:
        raise InputError(f"v2g scan: --{wanted[0]} and --{wanted[1]} exclude each other; scan one after the other")
    if not args.serial and wanted in ([], ["serial"]):
        return list_ports()
    if args.can is not None:
        return can_interface(args)
    stop = threading.Event()

    def open_link(link: Link) -> WireAsker:
        return WireAsker(link, stop)

    try:
        places = scan(args, open_link)
    finally:
        stop.set()
    return show(places, args.json)


def list_ports() -> int:
    """The choice is the owner's: not every serial port has a Modbus device behind it."""
    names = port_names()
    print("".join(f"{name}\n" for name in names), end="", flush=True)
    here = f"the {len(names)} serial ports of this machine stand above" if names else "this machine has no serial port"
    raise InputError(
        f"v2g scan: where? --serial PORT ({here}), --host ADDRESS[:PORT], --network 192.168.1.0/24, or --can INTERFACE"
    )


def can_interface(args: argparse.Namespace) -> int:
    """Listen there; what no map knows is told as well."""
    if args.units is not None:
        raise InputError("v2g scan: --units belongs to Modbus; on CAN every unit is heard")
    try:
        link = CanLink(args.can)
    except ValueError as error:
        raise InputError(f"v2g scan: --{error}") from None
    need_there(link)
    known = known_devices()
    tell(f"{link}: listening for {LISTEN_S:.0f} s; nothing is sent")
    with Progress(f"scan {link}", sys.stderr) as progress:
        frames, errors = listen(link, LISTEN_S, progress)
    code = show([Place(link, found) for found in devices_in(frames, known)], args.json, NOT_HEARD)
    ids = len({(seen.id, seen.extended) for seen in frames})
    tell(f"{link}: {len(frames)} frames of {ids} identifiers in {LISTEN_S:.0f} s, {errors} error frames")
    others_there = strangers(frames, known)
    if others_there:
        more = " ..." if len(others_there) > MOST_IDS else ""
        tell(f"{link}: no map of ours knows {', '.join(others_there[:MOST_IDS])}{more}")
    return code


def scan(args: argparse.Namespace, open_link: Open) -> list[Place]:
    """Look where the options say."""
    units = units_of(args.units, serial=bool(args.serial))
    if args.serial:
        return serial_ports([port_of(path) for path in args.serial], units, open_link)
    hosts = hosts_of(args.network) if args.network else [host_of(text) for text in args.host]
    bound_s = longest_s(hosts[0], len(units))
    tell(f"addresses: {len(hosts)}, units: {len(units)}; {bound_s:.0f} s for one that listens and never answers")
    with Progress("scan", sys.stderr) as progress:
        return scan_hosts(hosts, units, open_link, progress)


def serial_ports(ports: Sequence[str], units: Sequence[int], open_link: Open) -> list[Place]:
    """One port after the other; one that cannot be opened costs the others nothing."""
    places: list[Place] = []
    for path in ports:
        bound_s = sum(longest_s(link, len(units)) for link in lines_of(path))
        tell(f"{path}: settings: {len(lines_of(path))}, units: {len(units)}; {bound_s:.0f} s if nobody answers")
        try:
            with Progress(f"scan {path}", sys.stderr) as progress:
                places += scan_serial(path, units, open_link, progress)
        except BusError as error:
            tell(str(error))
    return places


def show(places: Sequence[Place], for_program: bool, nothing: str = NOTHING) -> int:
    """Known devices on stdout, the others on stderr."""
    known = any(map(is_known, places))
    if for_program:
        print(json.dumps(as_json(places), indent=1))
    elif known:
        print("\n".join(lines(places)))
    sys.stdout.flush()
    for line in others(places):
        tell(line)
    if not known:
        tell(nothing)
    return EXIT_OK if known else EXIT_DEVICE


def others(places: Sequence[Place]) -> list[str]:
    """Those that fit no map, in one line where they say the same."""
    told = []
    served = {str(p.link) for p in places if is_known(p)}  # there an exception is how a missing unit is told
    unknown = [p for p in places if not is_known(p) and not (p.found.note == REFUSES and str(p.link) in served)]
    for _, group in groupby(unknown, key=lambda p: (str(p.link), p.found.note, p.found.serial_number)):
        first, *more = group
        also = f" (so do units {', '.join(str(p.found.unit) for p in more)})" if more else ""
        told.append(f"{headline(first)}{also}; a map of your own: docs/adding-a-device.md")
    return told


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)

"""The simulator: three processes, a grid, a meter and an inverter, joined by a bar file. No hardware, no power.

    python -m drivers.sim.server grid     --bar BAR --scenario gb_2019-08-09 --start-s 50 --duration-s 60
    python -m drivers.sim.server grid     --bar BAR --trace FILE.csv --hold-s 5 --f-nom 60 --v-nom 240
    python -m drivers.sim.server grid     --bar BAR --swing --imbalance-pu -0.05 --imbalance-at-s 5
    python -m drivers.sim.server grid     --bar BAR --scenario NAME --phases 3 --share 1,0,0 --load-l2-w 2000
    python -m drivers.sim.server source   --bar BAR --port-file SOURCE.port --phases 1
    python -m drivers.sim.server meter    --bar BAR --port 0 --port-file METER.port
    python -m drivers.sim.server meter    --bar BAR --port-file HOUSE.port --location connection --phases 3
    python -m drivers.sim.server inverter --bar BAR --port 0 --port-file INVERTER.port --v-nom 240
    python -m drivers.sim.server meter    --bar BAR --udp --port-file METER.port
    python -m drivers.sim.server meter    --bar BAR --serial /dev/ttyUSB0 --baud 9600 --parity E
    python -m drivers.sim.server pair     --bar BAR --serial /dev/ttyUSB0 --unit 1 --inverter-unit 2

Start    in any order. grid holds the scenario's first row until drivers.sim.bar.Bar(BAR).play(), or for --hold-s.
         source takes the grid's place: a grid simulator that obeys SCPI over TCP on 127.0.0.1.
         meter and inverter serve Modbus TCP (--udp: UDP) on 127.0.0.1, or Modbus RTU on a --serial line; pair is both
         behind one endpoint. A port file appears, whole, once its process listens; of a serial line it holds the path.
End      SIGTERM or SIGINT: exit 0 at once; the same when the parent (--parent PID, default whoever started it) is gone.
         Ctrl-C reaches a whole process group: start these with start_new_session=True to stop them in an order.
Faults   meter: --latency-s 3 for a late one; inverter: --gain 0.5 (half the slope), --sign -1 (the wrong way round).
         All others stand in front of it: drivers.sim.proxy.
Exit     0, or 2 with one line: an option, a trace, a bar or a port cannot be used. Prints nothing else.
"""

# ruff: noqa: E402  # STARTED_BY is asked before the slow imports

from __future__ import annotations

import os

STARTED_BY = os.getppid()  # a parent that dies meanwhile must be noticed

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from math import inf, isfinite
from pathlib import Path

from pymodbus.simulator import SimDevice

from drivers.sim.bar import Bar, BarError
from drivers.sim.endpoint import Endpoint, SerialEndpoint, StartError, TcpEndpoint, UdpEndpoint
from drivers.sim.grid_process import GridProcess
from drivers.sim.inverter_process import InverterProcess
from drivers.sim.meter_process import MeterProcess
from drivers.sim.plant import Session
from drivers.sim.process import Tick, run, serve
from drivers.sim.scenario import TraceError
from drivers.sim.source_process import serve_source

EXIT_OK, EXIT_USER = 0, 2


def number(low: float, high: float) -> Callable[[str], float]:
    """An argparse type: a number inside low ... high."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = inf
        if not (isfinite(value) and low <= value <= high):
            raise argparse.ArgumentTypeError(f"'{text}'; allowed: {low:g} ... {high:g}")
        return value

    return parse


def shares(text: str) -> list[float]:
    """An argparse type: numbers from 0 to 1 with commas between."""
    return [SHARE(part) for part in text.split(",")]


SECONDS, SHARE, WATTS = number(0, 86400), number(0, 1), number(0, 1e6)


def add_common(parser: argparse.ArgumentParser, period_s: float) -> None:
    parser.add_argument("--bar", type=Path, required=True, help="the file the three processes share; made when absent")
    parser.add_argument("--phases", type=int, choices=(1, 2, 3), default=1, help="1, 2 (split phase) or 3")
    parser.add_argument("--period-s", type=number(0.001, 1), default=period_s, help="how often it computes")
    parser.add_argument("--parent", type=int, default=STARTED_BY, metavar="PID", help="ends with this parent process")


def add_port(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--port", type=int, default=0, help="Modbus TCP; 0: any free one")
    where.add_argument("--serial", metavar="PATH", help="Modbus RTU")
    parser.add_argument("--udp", action="store_true", help="Modbus over UDP on that port, instead of TCP")
    parser.add_argument("--baud", type=int, default=9600)
    parser.add_argument("--parity", choices=("N", "E", "O"), default="N")
    parser.add_argument("--stop-bits", type=int, choices=(1, 2), default=1)
    parser.add_argument("--port-file", type=Path, help="where the port in use is written")
    parser.add_argument("--unit", type=int, default=1, help="Modbus unit id")
    parser.add_argument("--turnaround-s", type=SECONDS, default=0.0, help="from request to answer")


def add_grid(parser: argparse.ArgumentParser) -> None:
    add_common(parser, 0.01)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--trace", type=Path, help="CSV t_s,f_hz[,v_pu | v1_pu,v2_pu][,load_l1_w ...]")
    source.add_argument("--scenario", metavar="NAME", help="a trace that comes with the program")
    source.add_argument("--swing", action="store_true", help="swing equation with governor and load damping")
    parser.add_argument("--start-s", type=SECONDS, default=0.0, help="play from here on")
    parser.add_argument("--duration-s", type=SECONDS, help="and this long; default: to the end")
    parser.add_argument("--hold-s", type=SECONDS, help="start by itself after this; default: when told by the bar")
    parser.add_argument("--f-nom", type=number(40, 70), default=50.0, help="of --swing")
    parser.add_argument("--v-nom", type=number(50, 1000), default=230.0, help="source voltage at 1 pu, one phase")
    parser.add_argument("--r-ohm", type=number(0, 100), default=0.25, help="feeder, one phase")
    parser.add_argument("--x-ohm", type=number(0, 100), default=0.15)
    load = number(-1e6, 1e6)
    parser.add_argument("--load-w", type=load, default=0.0, help="the house's own load, even over the phases")
    for i in (1, 2, 3):
        parser.add_argument(f"--load-l{i}-w", type=load, default=0.0, help=f"and more of it on L{i}")
    parser.add_argument("--share", type=shares, help="the unit's power on each phase, like 1,0,0; default: even")
    swing = parser.add_argument_group("swing equation")
    swing.add_argument("--h-s", type=number(0.1, 100), default=5.0, help="inertia constant")
    swing.add_argument("--droop-pu", type=number(0.001, 10), default=0.05, help="of the governor")
    swing.add_argument("--governor-s", type=number(0.01, 100), default=0.5, help="its time constant")
    swing.add_argument("--damping-pu", type=number(0, 100), default=1.0, help="of the load")
    swing.add_argument("--imbalance-pu", type=number(-1, 1), default=-0.05, help="generation lost (-) or load lost (+)")
    swing.add_argument("--imbalance-at-s", type=SECONDS, default=5.0)
    swing.add_argument("--base-w", type=number(0, 1e12), default=0.0, help="system power; 0: too big to feel the unit")
    parser.set_defaults(main=main_grid)


def add_source(parser: argparse.ArgumentParser) -> None:
    add_common(parser, 0.005)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="SCPI over TCP; 0: any free one")
    parser.add_argument("--port-file", type=Path, help="where the port in use is written")
    parser.add_argument("--slew-v-s", type=number(0.001, 1e9), default=20000.0, help="of its output")
    parser.add_argument("--slew-hz-s", type=number(0.001, 1e9), default=2000.0)
    parser.set_defaults(main=lambda args: asyncio.run(serve_source(args)))


def add_meter(parser: argparse.ArgumentParser) -> None:
    add_common(parser, 0.01)
    add_port(parser)
    add_meter_itself(parser)
    parser.set_defaults(main=main_meter)


def add_inverter(parser: argparse.ArgumentParser) -> None:
    add_common(parser, 0.005)
    add_port(parser)
    add_inverter_itself(parser)
    parser.set_defaults(main=main_inverter)


def add_pair(parser: argparse.ArgumentParser) -> None:
    add_common(parser, 0.005)
    add_port(parser)
    parser.add_argument("--inverter-unit", type=int, default=2, help="Modbus unit id; --unit is the meter's")
    add_meter_itself(parser)
    add_inverter_itself(parser)
    parser.set_defaults(main=main_pair)


def add_meter_itself(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--location", choices=("inverter", "connection"), default="inverter")
    parser.add_argument("--refresh-s", type=number(0.001, 60), default=0.1, help="of the registers")
    parser.add_argument("--latency-s", type=SECONDS, default=0.0, help="registers show what was true this long ago")
    parser.add_argument("--seed", type=int, default=1, help="of the noise")


def add_inverter_itself(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--v-nom", type=number(50, 1000), default=230.0)
    parser.add_argument("--f-nom", type=float, choices=(50.0, 60.0), default=50.0, help="of its own grid functions")
    parser.add_argument("--s-max-va", type=number(1, 1e6), default=7400.0)
    parser.add_argument("--p-discharge-w", type=WATTS, default=7000.0)
    parser.add_argument("--p-charge-w", type=WATTS, default=7200.0)
    parser.add_argument("--q-max-var", type=WATTS, default=3300.0)
    parser.add_argument("--v-low-pu", type=number(0.1, 1), default=1.0, help="down to it, --s-max-va; below, less")
    parser.add_argument("--p-min-abs-w", type=WATTS, default=0.0, help="smaller power becomes 0")
    parser.add_argument("--dwell-s", type=SECONDS, default=0.0, help="rest at 0 before the direction turns")
    parser.add_argument("--dead-s", type=SECONDS, default=0.05, help="from set-point to the first movement")
    parser.add_argument("--lag-s", type=SECONDS, default=0.15, help="time constant")
    parser.add_argument("--ramp-w-s", type=number(1, 1e9), default=1e9)
    parser.add_argument("--own-w", type=number(-1e6, 1e6), default=0.0, help="power while no set-point is enabled")
    parser.add_argument("--gain", type=number(-10, 10), default=1.0, help="fault: power / set-point")
    parser.add_argument("--sign", type=int, choices=(1, -1), default=1, help="fault: -1 moves the wrong way round")
    parser.add_argument("--own-meter", action="store_true", help="SunSpec 201 ... 203 behind its own models")
    parser.add_argument("--no-timer", action="store_true", help="fault: its reversion timers never run out")
    parser.add_argument("--capacity-wh", type=number(1, 1e9), default=60000.0)
    parser.add_argument("--soc", type=SHARE, default=0.6)
    parser.add_argument("--soc-min", type=SHARE, default=0.1)
    parser.add_argument("--soc-max", type=SHARE, default=1.0)
    parser.add_argument("--eta-charge", type=SHARE, default=0.95)
    parser.add_argument("--eta-discharge", type=SHARE, default=0.95)
    parser.add_argument("--session", choices=[s.name.lower() for s in Session], default="plugged")


def main_grid(args: argparse.Namespace) -> None:
    grid = GridProcess(args, Bar(args.bar))
    asyncio.run(run(grid.tick, args.period_s, args.parent))


def endpoint(args: argparse.Namespace) -> Endpoint:
    if args.serial and args.udp:
        raise StartError("--serial and --udp exclude each other")
    if args.serial:
        return SerialEndpoint(args.serial, args.baud, args.parity, args.stop_bits)
    return (UdpEndpoint if args.udp else TcpEndpoint)(args.host, args.port)


def main_meter(args: argparse.Namespace) -> None:
    meter = MeterProcess(args, Bar(args.bar))
    serving(args, [meter.device()], meter.tick)


def main_inverter(args: argparse.Namespace) -> None:
    inverter = InverterProcess(args, Bar(args.bar))
    serving(args, [inverter.device()], inverter.tick)


def main_pair(args: argparse.Namespace) -> None:
    if args.unit == args.inverter_unit:
        raise StartError(f"--unit {args.unit} --inverter-unit {args.unit}; allowed: two different ones")
    bar = Bar(args.bar)
    meter = MeterProcess(args, bar)
    inverter = InverterProcess(argparse.Namespace(**{**vars(args), "unit": args.inverter_unit}), bar)

    def tick(dt_s: float) -> None:
        inverter.tick(dt_s)
        meter.tick(dt_s)

    serving(args, [meter.device(), inverter.device()], tick)


def serving(args: argparse.Namespace, devices: list[SimDevice], tick: Tick) -> None:
    asyncio.run(serve(devices, endpoint(args), args.port_file, tick, args.period_s, args.parent))


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m drivers.sim.server", description="Simulated grid, meter, inverter.")
    parts = top.add_subparsers(required=True, metavar="grid | source | meter | inverter | pair")
    add_grid(parts.add_parser("grid", help="frequency, source voltage, feeder"))
    add_source(parts.add_parser("source", help="a grid simulator behind SCPI, in the grid's place"))
    add_meter(parts.add_parser("meter", help="Eastron SDM630"))
    add_inverter(parts.add_parser("inverter", help="SunSpec 1, 701 to 715, and a car"))
    add_pair(parts.add_parser("pair", help="both of them behind one port or on one serial line"))
    return top


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        args.main(args)
    except (StartError, TraceError, BarError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return EXIT_USER
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())

"""The core process: bus threads, loop and ring put together, watched, and stopped in a safe order.

Begins   as the second image of `v2g run`: controller.launch has found the devices and compiled all there is to know,
         and replaces itself by this. SIGTERM, SIGINT and SIGHUP are blocked; they are waited for, and never handled.
Start    lock memory, start the bus threads, then the loop, then publish the ring. Nothing is written to the inverter
         before every input is fresh; in shadow nothing is ever written.
Stop     each of them, or a fault of the watch itself: ramp to 0, hand control back to the inverter, read back, close.
         The loop goes on until the end.
Errors   InputError: the site's choice cannot be met here. A device that does not answer is waited for.
Imports  no dataclass, enum, json, logging, typing and nothing that needs them: this process stays small (a test looks).
"""

from __future__ import annotations

import gc
import mmap
import sys
import time
from bisect import bisect

from controller.alarms import Alarms
from controller.buswatch import BusWatch
from controller.errors import InputError
from controller.handed import Handed, read
from controller.logs import say
from controller.nextsettings import NextSettings
from controller.notify import notify
from cython_core.realtime.host import IdleStates, clock_synchronized, lock_memory, stop_asked
from cython_core.realtime.loop import RAMP, RUN, SILENT, Loop
from cython_core.realtime.mailbox import Box
from cython_core.realtime.ring import RingWriter
from cython_core.step import Core
from drivers.base import DriverError
from drivers.modbus.bus import Bus

TYPE_CHECKING = False  # as typing has it, without loading that
if TYPE_CHECKING:
    from drivers.can.bus import Bus as CanBus

EXIT_OK, EXIT_USER, EXIT_DEVICE = 0, 2, 3
WATCH_S = 0.25
SECOND_NS = 1_000_000_000
STOP_LIMIT_S = 15.0  # without coming nearer to 0
STOP_TOLD_S = 1.0
STOP_LEFT = "EXTEND_TIMEOUT_USEC=60000000"  # systemd waits so much longer, as TimeoutStopSec of the unit has it


def quoted(text: str) -> str:
    """The text as JSON has it."""
    return '"' + "".join(c if c >= " " and c not in '"\\' else f"\\u{ord(c):04x}" for c in text) + '"'


def with_grants(facts: str, grants: dict[str, str]) -> bytes:
    """The facts of the ring as JSON, completed by what this host grants."""
    entries = ", ".join(f"{quoted(name)}: {quoted(text)}" for name, text in grants.items())
    return f'{facts.rstrip()[:-1]}, "realtime": {{{entries}}}}}'.encode()


def wish_boxes(handed: Handed) -> dict[int, Box]:
    """One mailbox for each source of wishes, in a file that other processes may map."""
    with open(handed.wishes, "r+b") as file:  # noqa: PTH123  # without pathlib
        shared = mmap.mmap(file.fileno(), 0)
    return {s: Box(handed.words["Wish"], shared, s * handed.box_bytes) for s in handed.wish_sources}


def buses_of(handed: Handed) -> list[Bus | CanBus]:
    """One for each wire. What CAN needs is loaded only by a site that has it."""
    buses: list[Bus | CanBus] = [Bus(wire) for wire in handed.wires]
    if handed.can:
        from drivers.can.bus import Bus as OnCan

        buses.append(OnCan(handed.can))
    return buses


class Runtime:
    """One controller. run() returns the process's exit code."""

    def __init__(self, handed: Handed) -> None:
        self.handed = handed
        self.t_depart_ns = 0
        self.alarms = Alarms(handed.alarms, say)

    def run(self) -> int:
        """Until one of the signals comes."""
        idle = IdleStates()
        self.start({**self.handed.granted, "memory": lock_memory(), "idle_states": idle.text})
        try:
            self.watch()
        finally:  # after a fault of ours, too: the loop steps on without the watch, nothing is let go at full power
            self.stop()
        idle.close()
        return EXIT_OK

    # ---- start ----

    def start(self, grants: dict[str, str]) -> None:
        """Buses, loop, ring; then collected garbage is not looked at again."""
        handed = self.handed
        meter, device, order, command = (self.box(n) for n in ("Measurement", "DeviceState", "Order", "Command"))
        commands = command if handed.writes else Box(command.n_words)  # shadow: nobody writes to the bus's own box
        self.buses = buses_of(handed)
        on_wire, compiled = handed.meter
        self.meter = self.buses[on_wire].add(compiled, meter)
        on_wire, compiled = handed.inverter
        self.inverter = self.buses[on_wire].add(compiled, device, commands)
        self.bus_watch = BusWatch(handed, {"meter": self.meter, "inverter": self.inverter})
        self.next_settings = NextSettings(handed.next_settings, handed.stamp, say)
        self.ring = RingWriter.created(handed.ring)
        core = Core.of(handed.settings)
        if handed.resume:
            core.resume(handed.resume, time.monotonic_ns())
        self.loop = Loop(core, self.ring, meter, device, order, command, wish_boxes(handed))
        self.loop.order(RUN)
        for name, bus in zip(self.bus_names(), self.buses, strict=True):
            grants[name] = bus.start()
        grants["core"] = self.loop.start()
        self.refuse_without_realtime(grants)
        self.ring.publish(with_grants(handed.facts, grants))
        self.say_grants(grants)
        gc.collect()
        gc.freeze()
        gc.disable()
        notify("READY=1", f"STATUS={handed.start_mode}: running")
        say("INFO", handed.started)

    def box(self, name: str) -> Box:
        """A mailbox for records of this name."""
        return Box(self.handed.words[name])

    def bus_names(self) -> list[str]:
        """What each wire's thread is called among the grants."""
        if len(self.buses) == 1:
            return ["bus"]
        return ["bus_meter" if wire == self.handed.meter[0] else "bus_inverter" for wire in range(len(self.buses))]

    def refuse_without_realtime(self, grants: dict[str, str]) -> None:
        refused = [f"{name}: {text}" for name, text in grants.items() if text.startswith(("other", "none:"))]
        if refused and self.handed.realtime_required:
            self.halt()
            raise InputError(self.handed.realtime_required + "; ".join(refused))

    def say_grants(self, grants: dict[str, str]) -> None:
        """Every right that was refused, once, with the line that grants it."""
        for name, text in grants.items():
            if "refused" in text or text.startswith("other"):
                say("WARNING", f"V2G-NO-REALTIME {name}: {text}")

    # ---- run ----

    def watch(self) -> None:
        """Feed systemd while step and bus threads advance; log changes. A silent device keeps its bus attempting."""
        before = [-1] * (1 + len(self.buses))
        while not stop_asked(WATCH_S):
            now = [self.loop.steps, *(bus.beats for bus in self.buses)]
            if all(n > b for n, b in zip(now, before, strict=True)):
                notify("WATCHDOG=1")
                before = now
            if self.next_settings.take(self.loop):
                self.handed.departures = self.next_settings.departures
            self.tell_departure(time.time_ns(), time.monotonic_ns(), clock_synchronized())
            newest = self.ring.newest()
            if newest is not None:
                self.alarms.update(newest.reasons, time.monotonic())
            self.bus_watch.look(newest, time.monotonic_ns())

    def tell_departure(self, wall_ns: int, now_ns: int, synchronized: bool) -> None:
        """When the car must be ready, on the loop's clock. While the wall clock is not to be trusted nobody knows."""
        i = bisect(self.handed.departures, wall_ns // SECOND_NS)
        ready_s = self.handed.departures[i] if i < len(self.handed.departures) else 0
        t_ns = ready_s * SECOND_NS - wall_ns + now_ns if ready_s and synchronized else 0
        if abs(t_ns - self.t_depart_ns) > SECOND_NS:  # the wall clock is always being corrected a little
            self.t_depart_ns = t_ns
            self.loop.order(RUN, t_ns)

    # ---- stop ----

    def stop(self) -> None:
        """Ramp to 0, hand back, close. A second signal does not hurry it: the ramp is bounded."""
        notify("STOPPING=1", "STATUS=ramping to 0")
        say("INFO", "V2G-STOP ramping to 0, then handing control back to the inverter")
        self.loop.order(RAMP)
        self.wait_for_rest()
        newest = self.ring.newest()
        commanded = newest is not None and newest.mode != SILENT  # else nothing of ours is in force there
        if self.handed.writes and commanded and not self.inverter.hand_back(self.handed.hand_back_s):
            say("WARNING", "V2G-NOT-HANDED-BACK the inverter did not confirm; its own timer brings it to 0 W")
        self.halt()
        self.bus_watch.close()

    def wait_for_rest(self) -> None:
        """As long as the command comes nearer to 0: a slow ramp is the site's choice, no reason to let go half way."""
        least_w, moved_s = float("inf"), time.monotonic()
        while time.monotonic() < moved_s + STOP_LIMIT_S and not self.is_at_rest():
            time.sleep(0.05)
            newest = self.ring.newest()
            if newest is not None and abs(newest.p_cmd_w) < least_w and time.monotonic() >= moved_s + STOP_TOLD_S:
                least_w, moved_s = abs(newest.p_cmd_w), time.monotonic()
                notify(STOP_LEFT)

    def is_at_rest(self) -> bool:
        """The command is 0, and the inverter says so too (or cannot be asked)."""
        newest = self.ring.newest()
        if newest is None or newest.o_stop != RAMP:
            return False
        small_w = self.handed.small_w
        return newest.p_cmd_w == 0.0 and (not self.handed.writes or newest.fresh_d > 0 or abs(newest.d_p_w) <= small_w)

    def halt(self) -> None:
        """End all threads; the inverter keeps what it was last told until its own timer runs out."""
        self.loop.stop()
        for bus in self.buses:
            bus.stop()


def main(fd: int) -> int:
    """The whole life of the core process. fd: of Handed.write()."""
    try:
        return Runtime(read(fd)).run()
    except InputError as error:
        print(error, file=sys.stderr, flush=True)
        return EXIT_USER
    except DriverError as error:
        print(error, file=sys.stderr, flush=True)
        return EXIT_DEVICE

"""A DBC and the map beside it -> Plan. cantools reads the DBC: 29 MiB, so it runs in a short-lived child.

can_plan() works in this process; can_plan_in_child() in one of its own. poll_ms and timeout_ms: of the site.
Multiplexing  a signal that exists only for some value of another one brings that value along: it becomes part of what
              is compared in a frame that is taken, and of what is constant in one that is sent.
Errors        MapError, one line each `map:line: what; what is allowed`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cython_core.records import DeviceState, DeviceStatus, DeviceValid, Session
from drivers.base import MapError
from drivers.can import compiled
from drivers.can.canmap import CanMap, FrameRow, PutRow, QuantityRow, SendRow
from drivers.can.tables import Bits, Field, Flag, Frame, Plan, Put, Send, Value, plan_from_json, plan_to_json
from drivers.devicemap import DEVICE_QUANTITIES
from drivers.mapfile import is_own, load_map
from drivers.yamlfile import Problems

if TYPE_CHECKING:
    from cantools.database.can import Database, Message, Signal

CHILD_S = 30.0  # an interpreter and cantools on a busy Pi with a slow card
MOST_BYTES = 8  # of a frame
MISSES = 3  # answers that may stay out before what was asked for is stale
WORDS = [f.name for f in fields(DeviceState)]


def can_plan(name: str, unit: int, reversion_s: int, poll_ms: int, timeout_ms: int) -> Plan:
    """The plan of a map by its name, or by the path of your own file."""
    device = load_map(name)
    if not isinstance(device, CanMap):
        raise MapError(f"map = {name} is no map of a CAN device (it names no dbc)")
    file = name if is_own(name) else f"{name}.yaml"
    low, high = device.sends.timer_s
    if not low <= reversion_s <= high:
        raise MapError(f"reversion_s = {reversion_s} is outside {low} ... {high} s ({file}: the device's own timer)")
    plan = Builder(device, database(device, name), unit).plan(reversion_s, poll_ms, timeout_ms)
    try:
        compiled.inverter(plan, poll_ms)
    except ValueError as error:  # here, where it is a mistake of these files, and not when the controller starts
        raise MapError(f"{file} with {device.dbc}: {str(error).removeprefix('plan: ')}") from error
    return plan


def database(device: CanMap, name: str) -> Database:
    """The DBC as cantools reads it; fields may overlap, as one frame's values for different items do."""
    try:
        import cantools
    except ImportError as error:
        command = f"{sys.executable} -m pip install 'v2g-controller[can]'"
        raise MapError(f"cantools, which reads a DBC, is not installed: {command}") from error
    if is_own(name):
        path = Path(name).parent / device.dbc
    else:
        path = Path(str(resources.files("drivers.maps").joinpath("inverters", device.dbc)))
    try:
        found = cantools.database.load_string(path.read_text(encoding="utf-8"), "dbc", strict=False)
    except (OSError, UnicodeDecodeError) as error:
        raise MapError(f"{path}: cannot be read: {getattr(error, 'strerror', 'is not UTF-8 text')}") from error
    except Exception as error:  # of several kinds, its parser's own among them
        raise MapError(f"{path}: is no DBC: {str(error).splitlines()[0]}") from error
    assert isinstance(found, cantools.database.can.Database)  # a DBC holds nothing else
    return found


class Builder:
    """One compilation; mistakes are collected."""

    def __init__(self, device: CanMap, dbc: Database, unit: int) -> None:
        self.device, self.dbc, self.unit = device, dbc, unit
        self.problems = Problems(device.file)
        self.names = list(device.frames)
        self.values: list[Value] = []

    def plan(self, reversion_s: int, poll_ms: int, timeout_ms: int) -> Plan:
        device, sends = self.device, self.device.sends
        frames = [self.frame(row, poll_ms, timeout_ms) for row in device.frames.values()]
        for place, conditions in enumerate(self.multiplexers()):
            frames[place] = self.narrowed(frames[place], list(device.frames.values())[place], conditions)
        if sends.ack is not None:
            frames.append(replace(self.frame(sends.ack, poll_ms, timeout_ms), ack=True, carrier=False))
        quantities = tuple(self.field(name, row) for name, row in device.can_quantities.items())
        v_dc = self.value(device.v_dc.signal[0], device.v_dc) if device.v_dc else -1
        plan = Plan(
            frames=tuple(frames),
            fields=quantities,
            flags=tuple(self.flags()),
            known=DeviceValid.STATUS | (DeviceValid.SESSION if device.session else 0),
            v_dc=v_dc,
            v_dc_low=device.v_dc.low if device.v_dc else 0.0,
            values=tuple(self.values),
            start=tuple(map(self.send, sends.start)),
            setpoint=tuple(map(self.send, sends.setpoint)),
            stop=tuple(map(self.send, sends.stop)),
            heartbeat=self.send(sends.heartbeat) if sends.heartbeat else None,
            heartbeat_ms=sends.heartbeat.every_ms if sends.heartbeat else 0,
            min_gap_ms=device.min_gap_ms,
            silence_ms=reversion_s * 1000,
            fed_by_any=sends.fed_by == "any",
            min_write_interval_ms=sends.min_write_interval_ms,
            write_refresh_ms=reversion_s * 1000 // 3,
            quantum_p_w=sends.quantum_p_w,
            quantum_q_var=sends.quantum_q_var,
        )
        if self.problems:
            raise MapError("\n".join(self.problems.lines()))
        return plan

    # ---- what the DBC says ----

    def message(self, name: str, line: int) -> Message | None:
        known = {m.name: m for m in self.dbc.messages}
        if name not in known:
            self.problems.add(line, f"message = {name} is not in {self.device.dbc}; known: {', '.join(sorted(known))}")
        found = known.get(name)
        if found is not None and found.length > MOST_BYTES:
            text = f"{name} of {self.device.dbc} has {found.length} bytes; allowed: {MOST_BYTES} (no CAN FD)"
            self.problems.add(line, text)
            return None
        return found

    def signal(self, message: Message | None, name: str, line: int) -> Signal | None:
        if message is None:
            return None
        known = {s.name: s for s in message.signals}
        where = f"{message.name} of {self.device.dbc}"
        if name not in known:
            self.problems.add(line, f"signal = {name} is not in {where}; known: {', '.join(known)}")
            return None
        if not bits_of(known[name]).inside(message.length) or float(known[name].scale) == 0.0:
            text = f"{name} of {where}: 1 ... 64 bits inside its {message.length} bytes and a factor that is not 0 are"
            self.problems.add(line, f"{text} allowed")
            return None
        return known[name]

    def in_frame(self, text: str, line: int) -> Signal | None:
        """`frame.signal` of the map."""
        frame, _, name = text.partition(".")
        row = self.device.frames[frame]
        return self.signal(self.message(row.message, row.line), name, line)

    def identifier(self, message: Message, direction: int) -> int:
        bits = self.device.unit_bits
        return int(message.frame_id) + (self.unit << bits[direction] if bits else 0)

    # ---- what is taken ----

    def frame(self, row: FrameRow, poll_ms: int, timeout_ms: int) -> Frame:
        message = self.message(row.message, row.line)
        if message is None:
            return Frame(0, False, 0, 1)
        mask = equals = 0
        for name, raw in row.when.items():
            mask, equals = self.condition(self.signal(message, name, row.line), raw, row.line, mask, equals)
        counter = self.signal(message, row.counter, row.line) if row.counter else None
        ask = None
        if row.ask:
            puts = {name: PutRow(line=row.line, raw=raw) for name, raw in row.when.items()}
            ask = self.send(SendRow(line=row.line, message=row.ask, puts=puts))
        return Frame(
            id=self.identifier(message, 1),
            extended=message.is_extended_frame,
            length=message.length,
            timeout_ms=row.timeout_ms or MISSES * row.every * poll_ms + timeout_ms,
            mask=mask,
            equals=equals,
            carrier=row.carrier,
            ask=ask,
            every=row.every,
            counter=bits_of(counter) if counter else None,
        )

    def condition(self, signal: Signal | None, raw: int, line: int, mask: int, equals: int) -> tuple[int, int]:
        """One more signal whose raw number must be this."""
        if signal is None:
            return mask, equals
        self.check_raw(signal, raw, line)
        more = placed(bits_of(signal), (1 << signal.length) - 1)
        wanted = placed(bits_of(signal), raw)
        if (equals ^ wanted) & mask & more:
            self.problems.add(line, f"{signal.name} = {raw} contradicts what else is asked of this frame")
        return mask | more, equals | wanted

    def check_raw(self, signal: Signal, raw: int, line: int) -> None:
        if not 0 <= raw < 1 << signal.length:
            self.problems.add(line, f"{signal.name} = {raw} is outside 0 ... {(1 << signal.length) - 1} (raw number)")

    def multiplexers(self) -> list[dict[str, int]]:
        """For each frame of the map: what the signals used of it say about their multiplexers."""
        device = self.device
        found: list[dict[str, int]] = [{} for _ in self.names]
        rows = [*device.can_quantities.values(), *([device.v_dc] if device.v_dc else [])]
        used = [(s, row.line) for row in rows for s in row.signal]
        used += [(row.signal, row.line) for row in (*device.status.values(), *device.session.values())]
        for text, line in used:
            frame = text.partition(".")[0]
            message = self.message(device.frames[frame].message, device.frames[frame].line)
            signal = self.in_frame(text, line)
            for name, raw in self.chain(message, signal, line).items():
                if found[self.names.index(frame)].setdefault(name, raw) != raw:
                    self.problems.add(line, f"{text} is not in the same frame as the others of {frame} ({name})")
        return found

    def chain(self, message: Message | None, signal: Signal | None, line: int) -> dict[str, int]:
        """{multiplexer: its raw number} up to the message's own signals."""
        found: dict[str, int] = {}
        while message is not None and signal is not None and signal.multiplexer_ids:
            if len(signal.multiplexer_ids) != 1:
                self.problems.add(line, f"{signal.name} stands for several values of its multiplexer")
            found[str(signal.multiplexer_signal)] = signal.multiplexer_ids[0]
            signal = self.signal(message, str(signal.multiplexer_signal), line)
        return found

    def narrowed(self, frame: Frame, row: FrameRow, conditions: Mapping[str, int]) -> Frame:
        message = self.message(row.message, row.line)
        mask, equals = frame.mask, frame.equals
        for name, raw in conditions.items():
            mask, equals = self.condition(self.signal(message, name, row.line), raw, row.line, mask, equals)
        return replace(frame, mask=mask, equals=equals)

    def value(self, text: str, row: QuantityRow) -> int:
        """The place of this signal among the values."""
        signal = self.in_frame(text, row.line)
        if signal is None:
            return 0
        frame = self.names.index(text.partition(".")[0])
        found = Value(frame, bits_of(signal), float(signal.scale), float(signal.offset))
        if found not in self.values:
            self.values.append(found)
        return self.values.index(found)

    def field(self, name: str, row: QuantityRow) -> Field:
        places = tuple(self.value(text, row) for text in row.signal)
        return Field(places, row.scale, row.low, row.high, WORDS.index(name), int(DEVICE_QUANTITIES[name][0]))

    def flags(self) -> Iterable[Flag]:
        for name, row in self.device.status.items():
            yield from self.flag(row.signal, row.equals, row.line, "status", int(DeviceStatus[name.upper()]), False)
        for name, row in self.device.session.items():
            yield from self.flag(row.signal, row.equals, row.line, "session", int(Session[name.upper()]), True)

    def flag(self, text: str, equals: Iterable[int], line: int, word: str, bits: int, sets: bool) -> Iterable[Flag]:
        signal = self.in_frame(text, line)
        if signal is None:
            return
        for raw in equals:
            self.check_raw(signal, raw, line)
            where = replace(bits_of(signal), kind="unsigned")
            yield Flag(self.names.index(text.partition(".")[0]), where, raw, WORDS.index(word), bits, sets)

    # ---- what is sent ----

    def send(self, row: SendRow) -> Send:
        message = self.message(row.message, row.line)
        if message is None:
            return Send(0, False, 0)
        data, constants, puts = 0, dict[str, int](), list[Put]()
        for name, put in row.puts.items():
            signal = self.signal(message, name, put.line)
            if signal is None:
                continue
            for multiplexer, raw in self.chain(message, signal, put.line).items():
                constants.setdefault(multiplexer, raw)
            if put.raw is not None:
                constants[name] = put.raw
            else:
                puts.append(self.put(signal, put))
        for name, raw in constants.items():
            signal = self.signal(message, name, row.line)
            if signal is not None:
                self.check_raw(signal, raw, row.line)
                data |= placed(bits_of(signal), raw)
        return Send(self.identifier(message, 0), message.is_extended_frame, message.length, data, tuple(puts))

    def put(self, signal: Signal, row: PutRow) -> Put:
        self.check_raw(signal, row.low, row.line)
        self.check_raw(signal, row.high, row.line)
        if row.source in ("a", "abs_a") and self.device.v_dc is None:
            self.problems.add(row.line, f"from = {row.source} needs `v_dc`, the voltage that a power is divided by")
        factor, offset = float(signal.scale), float(signal.offset)
        return Put(bits_of(signal), row.source, row.scale / factor, 0.0 - offset / factor, row.low, row.high)


def bits_of(signal: Signal) -> Bits:
    kind = "float" if signal.is_float else "signed" if signal.is_signed else "unsigned"
    return Bits(signal.start, signal.length, signal.byte_order == "big_endian", kind)


def placed(bits: Bits, raw: int) -> int:
    """A raw number where its field lies, in eight bytes of which the first is the lowest."""
    if not bits.motorola:
        return raw << bits.start
    return int.from_bytes((raw << (64 - bits.first - bits.length)).to_bytes(8, "big"), "little")


# ---- the child ----


def can_plan_in_child(name: str, unit: int, reversion_s: int, poll_ms: int, timeout_ms: int) -> Plan:
    """can_plan() in a process of its own. Raises MapError with the child's own lines."""
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH")) if p)
    command = [sys.executable, "-m", "drivers.can", name, *map(str, (unit, reversion_s, poll_ms, timeout_ms))]
    environment = {**os.environ, "PYTHONPATH": path}
    try:
        child = subprocess.run(command, capture_output=True, text=True, timeout=CHILD_S, env=environment)
    except subprocess.TimeoutExpired as error:
        raise MapError(f"map = {name}: reading it took longer than {CHILD_S:g} s and was ended") from error
    try:
        data: dict[str, Any] = json.loads(child.stdout)
        if "error" not in data:
            return plan_from_json(child.stdout)
    except ValueError as error:
        last = (child.stderr.strip().splitlines() or ["nothing on stderr"])[-1]
        raise MapError(f"map = {name}: the process that reads it failed ({child.returncode}): {last}") from error
    raise MapError(str(data["error"]))


def main(arguments: list[str]) -> int:
    """The child: NAME UNIT REVERSION_S POLL_MS TIMEOUT_MS."""
    name, unit, reversion_s, poll_ms, timeout_ms = arguments
    try:
        plan = can_plan(name, int(unit), int(reversion_s), int(poll_ms), int(timeout_ms))
    except MapError as error:
        print(json.dumps({"error": str(error)}))
        return 3
    print(plan_to_json(plan))
    return 0

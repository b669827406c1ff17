"""The simulated grid simulator: SCPI words in, a voltage and a frequency with a physical slew out. No sockets here.

answer(line) takes one program message and returns its response, or None; step(dt_s) moves the output.
Words    WORDS, in SCPI's own notation (SCPI-99, 6.2): long and short forms, optional nodes, `;` and `:` paths.
Errors   into its queue, as SYST:ERR? tells them (SCPI-99, 21.8): -113 undefined header, -222 data out of range, ...
Faults   DIAG:FAULT SILent | HALF | HANGup | ERRor | NONE: what happens to the answers after this one; DIAG:GAIN x: the
         output is x times what was set; DIAG:READ x: what it says of its output is x times what it is.
Imports nothing of ours: it judges our arithmetic.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

IDENTITY = "V2G,SIMULATED GRID SOURCE,0,1"
FAULTS = {"NONE": "", "SIL": "silent", "HALF": "half", "HANG": "hangup", "ERR": "error"}
QUEUE = 16
NODE = re.compile(r"(\[?):?([A-Z]+)([a-z]*)(\]?)")
MOST_V, LEAST_HZ, MOST_HZ, FASTEST = 400.0, 16.0, 500.0, 1e9
Word = TypeVar("Word")


class ScpiError(Exception):
    """One entry of the error queue."""


def pattern(notation: str) -> re.Pattern[str]:
    """`VOLTage[:LEVel]` -> what matches VOLT, VOLTAGE, VOLT:LEV ... in capitals, after a colon each."""
    parts = []
    for opened, short, rest, _ in NODE.findall(notation):
        node = f":{short}({rest.upper()})?"
        parts.append(f"({node})?" if opened else node)
    return re.compile("".join(parts))


@dataclass(slots=True)
class ScpiGridSource:
    """Settings, and the output on its way to them. Three phases; whoever reads uses as many as the bench has."""

    slew_v_s: float = 20000.0  # 400 V in 20 ms
    slew_hz_s: float = 2000.0
    volts: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])  # set
    hertz: float = 60.0
    angles: list[float] = field(default_factory=lambda: [0.0, 240.0, 120.0])
    closed: bool = False  # the output relay
    coupled: bool = True
    phase: int = 1
    out_v: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])  # at the terminals
    out_hz: float = 60.0
    fault: str = ""
    gain: float = 1.0
    read_gain: float = 1.0
    queue: deque[str] = field(default_factory=deque)

    def step(self, dt_s: float) -> None:
        wanted = [self.gain * v if self.closed else 0.0 for v in self.volts]
        if self.closed:
            self.out_v = [moved(v, to, self.slew_v_s * dt_s) for v, to in zip(self.out_v, wanted, strict=True)]
        else:
            self.out_v = wanted  # a relay opens at once
        self.out_hz = moved(self.out_hz, self.hertz, self.slew_hz_s * dt_s)

    def answer(self, line: str) -> str | None:
        """The responses of a message's units, joined by semicolons as they were asked; None: nothing was asked."""
        found, path = [], ""
        for unit in (u.strip() for u in line.split(";") if u.strip()):
            try:
                header, _, data = unit.partition(" ")
                full = header if header.startswith((":", "*")) else f"{path}:{header}"
                if not header.startswith("*"):
                    path = full.rpartition(":")[0]
                response = self.obey(full.upper(), data.strip())
            except ScpiError as error:
                self.complain(str(error))
            else:
                found += [response] if response is not None else []
        return ";".join(found) if found else None

    def complain(self, text: str) -> None:
        if len(self.queue) < QUEUE:
            self.queue.append(text)
        else:
            self.queue[-1] = '-350,"Queue overflow"'

    def obey(self, header: str, data: str) -> str | None:
        asked = header.endswith("?")
        for known, (ask, order) in WORDS.items():
            if known.fullmatch(header.rstrip("?")):
                if asked and ask is not None:
                    return ask(self)
                if not asked and order is not None:
                    return order(self, data)
        raise ScpiError(f'-113,"Undefined header;{header}"')

    def chosen(self) -> list[int]:
        return [0, 1, 2] if self.coupled else [self.phase - 1]

    def set_volts(self, data: str) -> None:
        value = number(data, 0.0, MOST_V)
        for i in self.chosen():
            self.volts[i] = value

    def set_hertz(self, data: str) -> None:
        self.hertz = number(data, LEAST_HZ, MOST_HZ)

    def set_angle(self, data: str) -> None:
        """Of the selected phase, whatever is coupled (AMETEK 7004-981, 4.20)."""
        self.angles[self.phase - 1] = number(data, -360.0, 360.0)

    def set_output(self, data: str) -> None:
        self.closed = one_of(data, {"ON": True, "1": True, "OFF": False, "0": False})

    def set_coupling(self, data: str) -> None:
        self.coupled = one_of(data, {"ALL": True, "NONE": False})

    def set_phase(self, data: str) -> None:
        self.phase = int(number(data, 1.0, 3.0))

    def set_slew_v(self, data: str) -> None:
        self.slew_v_s = number(data, 0.001, FASTEST)

    def set_slew_hz(self, data: str) -> None:
        self.slew_hz_s = number(data, 0.001, FASTEST)

    def set_fault(self, data: str) -> None:
        self.fault = one_of(data, FAULTS)

    def set_gain(self, data: str) -> None:
        self.gain = number(data, 0.0, 2.0)

    def set_read_gain(self, data: str) -> None:
        self.read_gain = number(data, 0.0, 2.0)

    def reset(self, _data: str) -> None:
        self.volts, self.closed, self.coupled, self.phase = [0.0, 0.0, 0.0], False, True, 1
        self.angles = [0.0, 240.0, 120.0]

    def clear(self, _data: str) -> None:
        self.queue.clear()

    def next_error(self) -> str:
        return self.queue.popleft() if self.queue else '0,"No error"'

    def measured_v(self) -> str:
        return f"{self.read_gain * self.out_v[self.phase - 1]:.3f}"


Ask = Callable[[ScpiGridSource], str] | None
Order = Callable[[ScpiGridSource, str], None] | None
S = ScpiGridSource
WORDS: dict[re.Pattern[str], tuple[Ask, Order]] = {
    re.compile(r"\*IDN"): (lambda _: IDENTITY, None),
    re.compile(r"\*OPC"): (lambda _: "1", None),
    re.compile(r"\*RST"): (None, S.reset),
    re.compile(r"\*CLS"): (None, S.clear),
    pattern("SYSTem:ERRor[:NEXT]"): (S.next_error, None),
    pattern("INSTrument:COUPle"): (lambda s: "ALL" if s.coupled else "NONE", S.set_coupling),
    pattern("INSTrument:NSELect"): (lambda s: str(s.phase), S.set_phase),
    pattern("[:SOURce]:VOLTage[:LEVel][:IMMediate][:AMPLitude][:AC]"): (
        lambda s: f"{s.volts[s.phase - 1]:.3f}",
        S.set_volts,
    ),
    pattern("[:SOURce]:VOLTage:SLEW[:IMMediate]"): (lambda s: f"{s.slew_v_s:.3f}", S.set_slew_v),
    pattern("[:SOURce]:FREQuency[:IMMediate]"): (lambda s: f"{s.hertz:.4f}", S.set_hertz),
    pattern("[:SOURce]:FREQuency:SLEW[:IMMediate]"): (lambda s: f"{s.slew_hz_s:.3f}", S.set_slew_hz),
    pattern("[:SOURce]:PHASe[:IMMediate]"): (lambda s: f"{s.angles[s.phase - 1]:.1f}", S.set_angle),
    pattern("OUTPut[:STATe]"): (lambda s: str(int(s.closed)), S.set_output),
    pattern("MEASure[:SCALar]:VOLTage[:AC]"): (S.measured_v, None),
    pattern("MEASure[:SCALar]:FREQuency"): (lambda s: f"{s.out_hz:.4f}", None),
    pattern("DIAGnostic:FAULT"): (lambda s: s.fault or "none", S.set_fault),
    pattern("DIAGnostic:GAIN"): (lambda s: f"{s.gain:.4f}", S.set_gain),
    pattern("DIAGnostic:READ"): (lambda s: f"{s.read_gain:.4f}", S.set_read_gain),
}


def moved(value: float, to: float, most: float) -> float:
    return min(max(to, value - most), value + most)


def number(data: str, low: float, high: float) -> float:
    try:
        value = {"MIN": low, "MAX": high}.get(data.upper(), 0.0) or float(data)
    except ValueError:
        raise ScpiError('-104,"Data type error"' if data else '-109,"Missing parameter"') from None
    if not low <= value <= high:
        raise ScpiError(f'-222,"Data out of range;{data}"')
    return value


def one_of(data: str, words: Mapping[str, Word]) -> Word:
    """A word in its short form, or any longer one that begins with it."""
    found = [value for word, value in words.items() if data.upper().startswith(word)]
    if not found:
        raise ScpiError(f'-224,"Illegal parameter value;{data}"')
    return found[0]

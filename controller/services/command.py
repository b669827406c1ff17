"""Remote commands: a message on v2g/<site>/cmd/<command> -> Command, or Refused with its reason. Pure.

Body     one JSON object: {"v": 1, "source", "seq", "issued_ms", "expires_ms"} and the command's own keys, see COMMANDS;
         "key" when it is signed (services.door takes the signature off before parse).
Units    Unix ms, W (+ = out of the inverter into the grid), SoC 0 ... 1. seq: a count, or the time in ms or µs.
Errors   Refused: `reason` is one word, the text says what is wrong and what is allowed. Nothing is clamped in silence.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from controller.telemetry.wire import is_count, refuse_constant

VERSION = 1
MAX_BYTES = 1024  # ours have 150
HEAD = ("v", "source", "seq", "issued_ms", "expires_ms")
KEY = "key"  # the name of the key that has signed
# command -> the keys it needs, the keys it may have
COMMANDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "power": (("p_w",), ("lo_w", "hi_w")),
    "mode": (("mode",), ()),
    "reserve": (("soc_pu",), ()),
    "stop": ((), ()),
    "resume": ((), ()),
}
KEY_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
SOURCE = re.compile(r"[a-z]{1,20}")  # an answer repeats it: nothing that a database could stumble over
MODES = ("auto", "hold", "charge", "discharge")


class Refused(Exception):  # noqa: N818  # it is an answer, no error of ours
    """This command changes nothing. Whoever sent it must act."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Command:
    """One command as it was sent. What its kind does not have is None."""

    name: str
    source: str
    seq: int
    issued_ms: int
    expires_ms: int
    p_w: float | None = None
    lo_w: float | None = None
    hi_w: float | None = None
    soc_pu: float | None = None
    mode: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the site allows, whoever asks."""

    sources: tuple[str, ...]
    p_min_w: float
    p_max_w: float
    soc_min_pu: float
    soc_max_pu: float
    lifetime_ms: int  # longest life of a wish
    max_age_ms: int  # between issuing and arriving, either way


def parse(name: str, payload: bytes) -> Command:
    """name: the topic's last part. Raises Refused: unknown, malformed, newer."""
    if name not in COMMANDS:
        raise Refused("unknown", f"no command {name[:40]!r}; known: {', '.join(COMMANDS)}")
    body = parse_object(payload)
    version = body.get("v")
    if type(version) is int and version > VERSION:
        raise Refused("newer", f'"v" is {version}, this program reads {VERSION}')
    needed, optional = COMMANDS[name]
    known = (*HEAD, *needed, *optional, KEY)
    strange = [key for key in body if key not in known]
    if strange:
        raise Refused("malformed", f"unknown key {strange[0][:40]!r}; known: {', '.join(known)}")
    missing = [key for key in (*HEAD, *needed) if key not in body]
    if missing:
        raise Refused("malformed", f"missing key {missing[0]!r}; needed: {', '.join((*HEAD, *needed))}")
    for key, value in body.items():
        wrong = fault_of(key, value)
        if wrong:
            raise Refused("malformed", f'"{key}" is not {wrong}')
    own: dict[str, Any] = {k: v if k in ("mode", KEY) else float(v) for k, v in body.items() if k not in HEAD}
    return Command(name, body["source"], body["seq"], body["issued_ms"], body["expires_ms"], **own)


def parse_object(payload: bytes) -> dict[str, Any]:
    """JSON text -> dict. A key that comes twice is refused: two readers might take different ones."""
    if len(payload) > MAX_BYTES:
        raise Refused("malformed", f"{len(payload)} bytes are more than {MAX_BYTES}")
    try:
        body = json.loads(payload, parse_constant=refuse_constant, object_pairs_hook=no_key_twice)
    except (ValueError, RecursionError) as error:
        raise Refused("malformed", f"not JSON: {error}") from None
    if not isinstance(body, dict):
        raise Refused("malformed", "not a JSON object")
    return body


def no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands there twice")
    return found


def fault_of(key: str, value: Any) -> str:
    """What the value should have been; empty when it is right."""
    match key:
        case "v":
            return "" if type(value) is int and value == VERSION else str(VERSION)
        case "source":
            return "" if isinstance(value, str) and SOURCE.fullmatch(value) else "a source"
        case "key":
            return "" if isinstance(value, str) and KEY_NAME.fullmatch(value) else "a key's name"
        case "seq" | "issued_ms" | "expires_ms":
            return "" if is_count(value) and value > 0 else "a whole number above 0"
        case "mode":
            return "" if value in MODES else f"one of {', '.join(MODES)}"
    return "" if is_finite(value) else "a finite number"


def is_finite(value: Any) -> bool:
    """A number a float can hold; true and false are none."""
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


def check(command: Command, bounds: Bounds, now_ms: int) -> None:
    """Raises Refused: source, expired, lifetime, replayed, bounds."""
    if command.source not in bounds.sources:
        raise Refused("source", f"source {command.source} may not command here; {', '.join(bounds.sources)} may")
    check_times(command, bounds, now_ms)
    if command.p_w is not None:
        lo_w, hi_w = range_of(command, bounds)
        ordered = bounds.p_min_w <= lo_w <= command.p_w <= hi_w <= bounds.p_max_w
        if not ordered:
            asked = f"lo_w {lo_w:g}, p_w {command.p_w:g}, hi_w {hi_w:g}"
            raise Refused("bounds", f"{asked}: allowed {bounds.p_min_w:g} ... {bounds.p_max_w:g} W, in this order")
    if command.soc_pu is not None and not bounds.soc_min_pu <= command.soc_pu <= bounds.soc_max_pu:
        allowed = f"{bounds.soc_min_pu:g} ... {bounds.soc_max_pu:g}"
        raise Refused("bounds", f"soc_pu {command.soc_pu:g}: allowed {allowed}")


def check_times(command: Command, bounds: Bounds, now_ms: int) -> None:
    """A command lives from issued_ms to expires_ms, and arrives soon after it was issued."""
    age_ms = now_ms - command.issued_ms
    if abs(age_ms) > bounds.max_age_ms:
        when = f"{abs(age_ms) / 1000:.1f} s {'ago' if age_ms > 0 else 'in the future'}"
        raise Refused("expired", f"issued {when}; allowed {bounds.max_age_ms / 1000:g} s: check both clocks")
    if command.expires_ms <= max(now_ms, command.issued_ms):
        raise Refused("expired", f"expired {(now_ms - command.expires_ms) / 1000:.1f} s ago")
    life_ms = command.expires_ms - command.issued_ms
    if life_ms > bounds.lifetime_ms:
        raise Refused("lifetime", f"would live {life_ms / 1000:g} s; allowed {bounds.lifetime_ms / 1000:g} s")
    if command.seq > (command.issued_ms + 1) * 1000:  # else one wrong number would lock its source out for ever
        raise Refused("replayed", f"seq {command.seq} is above issued_ms in µs: a count, or the time")


def range_of(command: Command, bounds: Bounds) -> tuple[float, float]:
    """The range that a power command leaves to whoever is weaker; without one the site's."""
    lo_w = bounds.p_min_w if command.lo_w is None else command.lo_w
    return lo_w, bounds.p_max_w if command.hi_w is None else command.hi_w


def wish_of(command: Command, bounds: Bounds) -> tuple[float, float, float] | None:
    """(lo, hi, p) in W of what it wishes for; None: no wish of its source any more.

    hold wishes for 0 W and leaves room to programme limits of weaker sources; stop leaves none.
    """
    if command.name == "stop":
        return 0.0, 0.0, 0.0
    if command.p_w is not None:
        return (*range_of(command, bounds), command.p_w)
    p_w = {"hold": 0.0, "charge": bounds.p_min_w, "discharge": bounds.p_max_w}.get(command.mode or "")
    return None if p_w is None else (bounds.p_min_w, bounds.p_max_w, p_w)

"""Remote commands, from the broker into the core's wish slots. It runs in the telemetry process, never in the core.

Order    each command is judged alone: retained, clock, shape, source, times, bounds, replay, stop, rate. The number is
         on the disk before the wish is wished, so that no crash lets a command in twice.
Answers  every acceptance and every refusal is an event; of more than MAX_ROWS refusals a minute the rest is one event
         with a count by reason, so that nobody fills the outbox from outside.
Reserve  kept here until it is changed: at or below it a remote wish has no discharge left in it. It only takes away;
         the core's own soc_min_pu stands in any case.
Errors   none raised.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from controller.services.command import Bounds, Command, Refused, check, parse, wish_of
from controller.services.memory import Memory, Slot
from controller.services.wishes import Wishes
from controller.telemetry.link import Received
from cython_core.realtime.host import clock_synchronized
from cython_core.records import Wish, WishSource

log = logging.getLogger(__name__)

MAX_ROWS = 20  # refusals a minute with a row of their own
MINUTE_MS = 60_000
UPHOLD_MS = 1_000
RESERVE_BAND_PU = 0.01  # above the reserve, before discharging goes on

Event = tuple[str, dict[str, Any]]  # (name, facts)


class Now(NamedTuple):
    """One moment on both clocks."""

    wall_ms: int
    mono_ns: int
    synchronized: bool


def host_clock() -> Now:
    """Of this machine."""
    return Now(time.time_ns() // 1_000_000, time.monotonic_ns(), clock_synchronized())


class Remote:
    """One site's. per_minute: accepted commands of all sources together."""

    def __init__(self, bounds: Bounds, per_minute: int, wishes: Wishes, memory: Memory,
                 clock: Callable[[], Now] = host_clock) -> None:  # fmt: skip
        self.bounds, self.per_minute, self.wishes, self.memory, self.clock = bounds, per_minute, wishes, memory, clock
        self.accepted = 0
        self.refused: Counter[str] = Counter()  # by reason
        self._tokens, self._tokens_ns = float(per_minute), clock().mono_ns
        self._refusals = Refusals()
        self._reserve_reached = True  # until the state of charge says otherwise
        self._upheld_ns = 0
        self._said = ""

    def turn(self, messages: Sequence[Received], soc_pu: float | None) -> list[Event]:
        """Judge what has arrived. soc_pu: of the newest step; None: unknown."""
        now = self.clock()
        events = [self._answer(message, now) for message in messages]
        self._look_at_reserve(soc_pu)
        if now.mono_ns - self._upheld_ns >= UPHOLD_MS * 1_000_000:
            self._upheld_ns = now.mono_ns
            self._uphold(now)
        found = [event for event in events if event is not None]
        return found + self._refusals.closed(now.mono_ns // 1_000_000)

    def frame(self) -> dict[str, Any]:
        """For the live frame: counters, and what each source wishes now."""
        now_ms = self.clock().wall_ms
        sources = {name: shown(self.memory.slots.get(name, Slot()), now_ms) for name in self.bounds.sources}
        counts = {"accepted": self.accepted, "refused": self.refused.total(), "refused_by": dict(self.refused)}
        return {**counts, "reserve_soc_pu": self.memory.reserve_soc_pu, **sources}

    # ---- one command ----

    def _answer(self, message: Received, now: Now) -> Event | None:
        name, command = message.topic.rpartition("/")[2], None
        try:
            if message.retained:
                raise Refused("retained", "the broker had kept it; commands are never retained")
            if not now.synchronized:
                raise Refused("clock", "this machine's clock is not synchronized: its age cannot be told")
            command = parse(name, message.payload)
            check(command, self.bounds, now.wall_ms)
            self._admit(command, now)
        except Refused as refusal:
            self.refused[refusal.reason] += 1
            who = {} if command is None else {"source": command.source, "command_seq": command.seq}
            facts = {"command": name[:40], **who, "reason": refusal.reason, "text": str(refusal)[:200]}
            return self._refusals.row(facts, now.mono_ns // 1_000_000)
        self.accepted += 1
        own = {k: v for k in ("p_w", "lo_w", "hi_w", "soc_pu", "mode") if (v := getattr(command, k)) is not None}
        facts = {"command": name, "source": command.source, "command_seq": command.seq,
                 "expires_ms": command.expires_ms, **own}  # fmt: skip
        return "command_accepted", facts

    def _admit(self, command: Command, now: Now) -> None:
        """Number, stop, rate; then kept, then wished. Raises Refused."""
        before = self.memory.slots.get(command.source, Slot())
        if command.seq <= before.seq or command.issued_ms <= self.memory.since_ms:
            raise Refused("replayed", f"seq {command.seq}, issued_ms {command.issued_ms}: not after the last one")
        stopped = before.mode_at(now.wall_ms) == "stop"
        if stopped and command.name in ("power", "mode"):
            raise Refused("stopped", f"{command.source} has stopped the unit: resume first, or wait until it is over")
        if command.name != "reserve":
            self._need_controller(command)
        self._take_token(now, always=command.name == "stop" and not stopped)
        self._keep(command, slot_after(command, before, self.bounds))
        if command.name != "reserve":
            self._wish(command.source, now)

    def _need_controller(self, command: Command) -> None:
        try:
            self.wishes.newest(WishSource[command.source.upper()])
        except (OSError, ValueError) as error:
            raise Refused("no_controller", f"nobody to wish of: {error}") from None

    def _take_token(self, now: Now, always: bool) -> None:
        """always: a first stop is never too many."""
        elapsed_s = (now.mono_ns - self._tokens_ns) / 1e9
        self._tokens = min(float(self.per_minute), self._tokens + elapsed_s * self.per_minute / 60.0)
        self._tokens_ns = now.mono_ns
        if self._tokens < 1.0 and not always:
            raise Refused("rate", f"more than {self.per_minute} commands a minute")
        self._tokens = max(0.0, self._tokens - 1.0)

    def _keep(self, command: Command, slot: Slot) -> None:
        """In memory only if it is on the disk."""
        reserve = self.memory.reserve_soc_pu if command.soc_pu is None else command.soc_pu
        changed = replace(self.memory, slots={**self.memory.slots, command.source: slot}, reserve_soc_pu=reserve)
        try:
            changed.save()
        except OSError as error:
            raise Refused("memory", f"its number cannot be kept: {error}") from None
        self.memory = changed

    # ---- wishes ----

    def _wish(self, name: str, now: Now) -> None:
        """Put what this source wishes into its slot."""
        source, slot = WishSource[name.upper()], self.memory.slots[name]
        try:
            if slot.mode_at(now.wall_ms) == "auto":
                self.wishes.release(source)
                return
            left_ms = min(slot.expires_ms - now.wall_ms, self.bounds.lifetime_ms)
            self.wishes.put(self._narrowed(slot, source, now.mono_ns, now.mono_ns + left_ms * 1_000_000))
        except (OSError, ValueError) as error:
            self._say(f"{name}: {error}")

    def _uphold(self, now: Now) -> None:
        """What is in force stands in its slot, also when a new controller has begun or the reserve is reached."""
        for name, slot in self.memory.slots.items():
            if slot.mode_at(now.wall_ms) == "auto" or name not in self.bounds.sources:
                continue
            source = WishSource[name.upper()]
            try:
                there = self.wishes.newest(source)
                if there is None:
                    self._wish(name, now)
                    continue
                wanted = self._narrowed(slot, source, there.valid_from_ns, there.expires_ns)
                if (there.lo_w, there.hi_w, there.p_w) != (wanted.lo_w, wanted.hi_w, wanted.p_w):
                    self.wishes.put(wanted)
            except (OSError, ValueError) as error:
                self._say(f"{name}: {error}")

    def _narrowed(self, slot: Slot, source: WishSource, from_ns: int, expires_ns: int) -> Wish:
        """The slot's wish inside the site's bounds; without its discharge when the reserve is reached."""
        most_w = 0.0 if self.memory.reserve_soc_pu is not None and self._reserve_reached else slot.hi_w
        least_w, most_w = self.bounds.p_min_w, min(most_w, self.bounds.p_max_w)  # the site may have changed them since
        lo_w, hi_w, p_w = (max(least_w, min(w, most_w)) for w in (slot.lo_w, slot.hi_w, slot.p_w))
        return Wish(source, lo_w, hi_w, p_w, 0.0, from_ns, expires_ns)

    def _look_at_reserve(self, soc_pu: float | None) -> None:
        reserve_pu = self.memory.reserve_soc_pu
        if reserve_pu is None:
            return
        if soc_pu is None or soc_pu <= reserve_pu:
            self._reserve_reached = True
        elif soc_pu > reserve_pu + RESERVE_BAND_PU:
            self._reserve_reached = False

    def _say(self, text: str) -> None:
        if text != self._said:
            log.warning("V2G-REMOTE-WISH %s", text)
        self._said = text


class Refusals:
    """Rows of refusals, so many a minute; the others counted."""

    def __init__(self) -> None:
        self._rows, self._began_ms = 0, 0
        self._more: Counter[str] = Counter()

    def row(self, facts: dict[str, Any], now_ms: int) -> Event | None:
        """One refusal. None: counted for closed()."""
        if not self._rows:
            self._began_ms = now_ms
        self._rows += 1
        if self._rows > MAX_ROWS:
            self._more[facts["reason"]] += 1
            return None
        return "command_refused", facts

    def closed(self, now_ms: int) -> list[Event]:
        """When the minute is over: what had no row of its own."""
        if not self._rows or now_ms - self._began_ms < MINUTE_MS:
            return []
        more, self._more, self._rows = self._more, Counter(), 0
        return [("commands_refused", {"count": more.total(), "by": dict(more)})] if more else []


def slot_after(command: Command, before: Slot, bounds: Bounds) -> Slot:
    """What a source wishes after its command; the reserve changes no wish."""
    if command.name == "reserve":
        return replace(before, seq=command.seq)
    wish = wish_of(command, bounds)
    if wish is None:
        return Slot(command.seq)
    return Slot(command.seq, command.mode or command.name, *wish, command.expires_ms)


def shown(slot: Slot, now_ms: int) -> dict[str, Any]:
    """A slot in the live frame; p_w null: no wish."""
    mode = slot.mode_at(now_ms)
    active = mode != "auto"
    return {"mode": mode, "p_w": slot.p_w if active else None, "expires_ms": slot.expires_ms if active else None}

"""Remote commands, from the broker into the core's wish slots. It runs in the telemetry process, never in the core.

Order    each command is judged alone: retained, clock, shape, signature, source, times, bounds, replay, stop, pace. The
         number is on the disk before the wish is wished, so that no crash lets a command in twice.
Answers  every acceptance and every refusal is an event; of more than MAX_ROWS refusals a minute the rest is one event
         with a count by reason, so that nobody fills the outbox from outside.
Reserve  kept here until it is changed: at or below it a remote wish has no discharge left in it. It only takes away;
         the core's own soc_min_pu stands in any case.
Errors   none raised.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from controller.services.command import Bounds, Command, Refused, check, wish_of
from controller.services.door import Door
from controller.services.memory import Memory, Slot
from controller.services.pace import Limits, Pace
from controller.services.wishes import Wishes
from controller.telemetry.link import Received
from cython_core.realtime.host import clock_synchronized
from cython_core.records import Wish, WishSource

log = logging.getLogger(__name__)

MAX_ROWS = 20  # refusals a minute with a row of their own
MINUTE_MS = 60_000
UPHOLD_MS = 1_000
UNFORESEEN = random.SystemRandom()
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
    """One site's. draw: 0 ... 1, of a source that nobody can foresee."""

    def __init__(self, door: Door, limits: Limits, wishes: Wishes, memory: Memory,
                 clock: Callable[[], Now] = host_clock,
                 draw: Callable[[], float] = UNFORESEEN.random) -> None:  # fmt: skip
        self.door, self.bounds, self.limits = door, door.bounds, limits
        self.wishes, self.memory, self.clock, self.draw = wishes, memory, clock, draw
        self.accepted = 0
        self.refused: Counter[str] = Counter()  # by reason
        self._pace = Pace(limits, clock().mono_ns)
        self._refusals = Refusals()
        self._reserve_reached = True  # until the state of charge says otherwise
        self._upheld_ns = 0
        # whose wish may not be in its slot: we were ended after it was kept, or the slot could not be written
        self._owed = set(memory.slots) if wishes.path.exists() else set[str]()
        self._said = ""

    def turn(self, messages: Sequence[Received], soc_pu: float | None) -> list[Event]:
        """Judge what has arrived. soc_pu: of the newest step; None: unknown."""
        now = self.clock()
        if now.synchronized and self.memory.since_ms > now.wall_ms:  # begun by a clock that was ahead
            self.memory = replace(self.memory, since_ms=now.wall_ms)
        events = [self._answer(message, now) for message in messages]
        self._look_at_reserve(soc_pu)
        if now.synchronized:
            self._begin_waiting(now)
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
            command, bounds = self.door.enter(name, message.payload)
            check(command, bounds, now.wall_ms)
            slot = self._admit(command, bounds, now)
        except Refused as refusal:
            self.refused[refusal.reason] += 1
            who = {} if command is None else {"source": command.source, "command_seq": command.seq}
            facts = {"command": name[:40], **who, "reason": refusal.reason, "text": str(refusal)[:200]}
            return self._refusals.row(facts, now.mono_ns // 1_000_000)
        self.accepted += 1
        own = {k: v for k in ("p_w", "lo_w", "hi_w", "soc_pu", "mode", "key") if (v := getattr(command, k)) is not None}
        if slot.from_ms:
            own["from_ms"] = slot.from_ms
        facts = {"command": name, "source": command.source, "command_seq": command.seq,
                 "expires_ms": command.expires_ms, **own}  # fmt: skip
        return "command_accepted", facts

    def _admit(self, command: Command, bounds: Bounds, now: Now) -> Slot:
        """Number, stop, pace; then kept, then wished, at once or later. Raises Refused."""
        before = self.memory.slots.get(command.source, Slot())
        if command.seq <= before.seq or command.issued_ms <= self.memory.since_ms:
            raise Refused("replayed", f"seq {command.seq}, issued_ms {command.issued_ms}: not after the last one")
        stopped = before.mode_at(now.wall_ms) == "stop"
        if stopped and command.name in ("power", "mode"):
            raise Refused("stopped", f"{command.source} has stopped the unit: resume first, or wait until it is over")
        spread_ms = self._spread_ms(command)
        if command.name != "reserve":
            self._need_controller(command)
        slot = slot_after(command, before, bounds)
        p_w = -1.0 if slot.mode == "auto" else slot.p_w  # without a wish the unit charges as its site has it
        always = command.name == "stop" and not stopped
        if all(self._in_force(name, now) is None for name in self.bounds.sources):
            self._pace.rest(now.mono_ns)
        self._pace.admit(0.0 if command.name == "reserve" else p_w, now.mono_ns, always)
        if spread_ms:
            slot = replace(slot, from_ms=now.wall_ms + round(self.draw() * spread_ms))
            self._keep(command, replace(before, seq=command.seq), slot)
            return slot
        self._keep(command, slot)
        if command.name != "reserve":
            self._wish(command.source, now)
        return slot

    def _in_force(self, name: str, now: Now) -> Slot | None:
        """What a source wishes now."""
        slot = self.memory.slots.get(name, Slot())
        return None if slot.mode_at(now.wall_ms) == "auto" else slot

    def _spread_ms(self, command: Command) -> int:
        """Up to this long it waits. Raises Refused: over before it has begun, somewhere."""
        if command.name in ("stop", "reserve"):
            return 0
        spread_ms = self.limits.spread_ms(command.source)
        life_ms = command.expires_ms - command.issued_ms
        if life_ms <= spread_ms:
            raise Refused("lifetime", f"would live {life_ms / 1000:g} s; it may wait {spread_ms / 1000:g} s to begin")
        return spread_ms

    def _need_controller(self, command: Command) -> None:
        try:
            self.wishes.newest(WishSource[command.source.upper()])
        except (OSError, ValueError) as error:
            raise Refused("no_controller", f"nobody to wish of: {error}") from None

    def _keep(self, command: Command, slot: Slot, waiting: Slot | None = None) -> None:
        """In memory only if it is on the disk. What waited of this source before waits no more, save for a reserve."""
        reserve = self.memory.reserve_soc_pu if command.soc_pu is None else command.soc_pu
        others = self.memory.waiting
        if command.name != "reserve":
            others = {name: s for name, s in others.items() if name != command.source}
        if waiting is not None:
            others = {**others, command.source: waiting}
        try:
            self._save(slots={**self.memory.slots, command.source: slot}, waiting=others, reserve_soc_pu=reserve)
        except OSError as error:
            raise Refused("memory", f"its number cannot be kept: {error}") from None

    def _save(self, **changes: Any) -> None:
        changed = replace(self.memory, **changes)
        changed.save()
        self.memory = changed

    def _begin_waiting(self, now: Now) -> None:
        """What has waited long enough takes its source's slot."""
        for name in [name for name, slot in self.memory.waiting.items() if slot.from_ms <= now.wall_ms]:
            others = dict(self.memory.waiting)
            seq = max(self.memory.slots.get(name, Slot()).seq, others[name].seq)
            slot = replace(others.pop(name), seq=seq, from_ms=0)
            try:
                self._save(slots={**self.memory.slots, name: slot}, waiting=others)
            except OSError as error:
                self._say(f"{name}: {error}")
                continue
            if name in self.bounds.sources:
                self._wish(name, now)

    # ---- wishes ----

    def _wish(self, name: str, now: Now) -> None:
        """Put what this source wishes into its slot."""
        source, slot = WishSource[name.upper()], self._in_force(name, now)
        self._owed.add(name)
        try:
            if slot is None:
                self.wishes.release(source)
            else:
                left_ms = min(slot.expires_ms - now.wall_ms, self.bounds.lifetime_ms)
                self.wishes.put(self._narrowed(slot, source, now.mono_ns, now.mono_ns + left_ms * 1_000_000))
            self._owed.discard(name)
        except (OSError, ValueError) as error:
            self._say(f"{name}: {error}")

    def _uphold(self, now: Now) -> None:
        """What is in force stands in its slot, also when a new controller has begun or the reserve is reached.

        Before the time is known a stop alone begins: after a power cut a clock goes on where it was written down.
        """
        for name in self.bounds.sources:
            source, slot = WishSource[name.upper()], self._in_force(name, now)
            may_begin = now.synchronized or (slot is not None and slot.mode == "stop")
            if name in self._owed and may_begin:
                self._wish(name, now)
                continue
            if slot is None:
                continue
            try:
                there = self.wishes.newest(source)
                if there is None:
                    if may_begin:
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

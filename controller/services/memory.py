"""What remote commands leave behind, kept over restarts in <state_dir>/remote.json.

Shapes   Memory.slots {source: Slot}; seq: the number of its last accepted command. waiting: what takes its place at
         from_ms. Written whole, synced, renamed.
Errors   save(): OSError. load() never fails: a file that cannot be read is moved aside, and then nothing that was
         issued before this moment is accepted, so that no old command comes back.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from controller.services.command import is_finite
from controller.telemetry.database import move_aside
from controller.telemetry.wire import refuse_constant

log = logging.getLogger(__name__)

VERSION = 1


@dataclass(slots=True)
class Slot:
    """One source. mode: auto (no wish), power, hold, charge, discharge, stop; lo, hi, p: its wish, until expires_ms."""

    seq: int = 0
    mode: str = "auto"
    lo_w: float = 0.0
    hi_w: float = 0.0
    p_w: float = 0.0
    expires_ms: int = 0
    from_ms: int = 0  # of one that waits

    def mode_at(self, now_ms: int) -> str:
        """A wish that is over is none."""
        return self.mode if now_ms < self.expires_ms else "auto"


@dataclass(slots=True)
class Memory:
    """since_ms: what was issued before is not accepted. reserve_soc_pu: below it nobody remote discharges."""

    path: Path
    since_ms: int
    slots: dict[str, Slot] = field(default_factory=dict)
    reserve_soc_pu: float | None = None
    waiting: dict[str, Slot] = field(default_factory=dict)

    def save(self) -> None:
        """On the disk when it returns. Raises OSError."""
        slots, waiting = ({name: asdict(slot) for name, slot in all_.items()} for all_ in (self.slots, self.waiting))
        tree = {"v": VERSION, "since_ms": self.since_ms, "reserve_soc_pu": self.reserve_soc_pu, "slots": slots,
                "waiting": waiting}  # fmt: skip
        temporary = self.path.with_suffix(".tmp")
        with temporary.open("w") as file:
            json.dump(tree, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)


def load(path: Path, now_ms: int) -> Memory:
    """What stands there, or an empty one that begins now."""
    try:
        tree = json.loads(path.read_bytes(), parse_constant=refuse_constant)
        if tree["v"] != VERSION:
            raise ValueError(f"version {tree['v']}; this program reads {VERSION}")
        reserve = tree["reserve_soc_pu"]
        if type(tree["since_ms"]) is not int or not (reserve is None or is_finite(reserve)):
            raise ValueError("since_ms or reserve_soc_pu is none of ours")
        slots, waiting = (
            {str(name): slot_of(values) for name, values in all_.items()}
            for all_ in (tree["slots"], tree.get("waiting", {}))
        )
        return Memory(path, tree["since_ms"], slots, reserve, waiting)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        kept = move_aside(path).name if path.is_file() else "nothing"
        log.error("V2G-REMOTE-MEMORY %s: %s; kept as %s, commands issued before now are refused", path, error, kept)
    return Memory(path, now_ms)


def slot_of(values: dict[str, object]) -> Slot:
    """Types are checked: what a hand has edited shall not surprise later."""
    slot = Slot(**values)  # type: ignore[arg-type]  # looked at in the next line
    right = all(type(n) is int for n in (slot.seq, slot.expires_ms, slot.from_ms)) and isinstance(slot.mode, str)
    if not (right and all(is_finite(v) for v in (slot.lo_w, slot.hi_w, slot.p_w))):
        raise ValueError(f"slot {values} is none of ours")
    return slot

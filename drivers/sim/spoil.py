"""What standing faults make of one answer: the bytes that are sent, and how much later each part of them. Pure.

Order    values, then the frame, then its bytes, then their time: faults that stand together act together.
Random   from a seed given to the fault: the same requests give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from random import Random

from drivers.sim.faultscript import Action
from drivers.sim.faultwords import Face
from drivers.sim.rawframe import READS, Frame, Framing, read_answer

AGAIN_S = 0.005  # what comes besides an answer comes as an answer of its own
Chunks = list[tuple[float, bytes]]  # (seconds from now, what is sent then)


@dataclass(slots=True)
class Standing:
    """One fault that lasts, and what it remembers."""

    action: Action
    face: Face
    seed: int = 1
    random: Random = field(init=False)
    first: dict[tuple[int, bytes], bytes] = field(default_factory=dict)  # request -> the answer that is repeated
    held: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)

    @property
    def fault(self) -> str:
        return self.action.fault

    def meets(self, request: Frame) -> bool:
        """Whether it is about this request: its part may be the reads or the writes alone."""
        if self.action.part in ("reads", "writes"):
            return (request.function in READS) == (self.action.part == "reads")
        return True


def spoiled(faults: Iterable[Standing], request: Frame, answer: Frame, framing: Framing) -> Chunks:
    """What is sent in place of this answer."""
    faults = [fault for fault in faults if fault.meets(request)]
    for fault in faults:
        answer = spoiled_values(fault, request, answer)
    for fault in faults:
        answer = spoiled_frame(fault, answer)
    raw = framing.pack(answer)
    for fault in faults:
        raw = spoiled_bytes(fault, raw)
    chunks: Chunks = [(0.0, raw)]
    for fault in faults:
        chunks = spoiled_time(fault, chunks)
    return chunks


def spoiled_values(fault: Standing, request: Frame, answer: Frame) -> Frame:
    if fault.fault == "freeze":
        return replace(answer, pdu=fault.first.setdefault((request.unit, request.pdu), answer.pdu))
    if answer.function not in READS:
        return answer
    action, at = fault.action, request.span[0]
    words = fault.face.altered(action.fault, action.part, action.value, at, answer.words)
    return replace(answer, pdu=read_answer(answer.function, words))


def spoiled_frame(fault: Standing, answer: Frame) -> Frame:
    if fault.fault == "wrong_id":
        return replace(answer, number=(answer.number + 1) & 0xFFFF)
    if fault.fault == "wrong_unit":
        return replace(answer, unit=(answer.unit + 1) & 0xFF)
    return answer


def spoiled_bytes(fault: Standing, raw: bytes) -> bytes:
    if fault.fault == "truncate":
        return raw[: len(raw) // 2]
    if fault.fault == "garbage":
        return fault.random.randbytes(len(raw))
    return raw


def spoiled_time(fault: Standing, chunks: Chunks) -> Chunks:
    value = fault.action.value
    if fault.fault == "delay":
        return [(later_s + value, raw) for later_s, raw in chunks]
    if fault.fault == "drip":
        return [(later_s + i * value, raw[i : i + 1]) for later_s, raw in chunks for i in range(len(raw))]
    if fault.fault == "duplicate":
        return [*chunks, *((later_s + AGAIN_S, raw) for later_s, raw in chunks)]
    if fault.fault == "reorder":
        if not fault.held:
            fault.held.append(b"".join(raw for _, raw in chunks))
            return []
        return [*chunks, (chunks[-1][0] + AGAIN_S, fault.held.pop())]
    return chunks

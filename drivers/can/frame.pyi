from collections.abc import Iterable
from typing import Literal

from cython_core.records import DeviceState
from drivers.can.tables import Plan

class Frames:
    def __init__(self, plan: Plan) -> None: ...
    def find(self, id: int, extended: bool, data: bytes) -> int: ...
    def decode(self, frames: Iterable[tuple[int, bytes]]) -> DeviceState: ...
    def encode(
        self,
        which: Literal["start", "setpoint", "stop", "heartbeat"],
        p_w: float,
        q_var: float = 0.0,
        v_dc: float = ...,
        direction: int = 0,
        run: int = 1,
        counter: int = 0,
    ) -> list[tuple[int, bytes]] | None: ...

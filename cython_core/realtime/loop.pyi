from collections.abc import Mapping

from cython_core.realtime.mailbox import Box
from cython_core.realtime.ring import RingWriter
from cython_core.step import Core

RUN: int
RAMP: int
SILENT: int

class Loop:
    core: Core
    def __init__(
        self,
        core: Core,
        ring: RingWriter,
        meter: Box,
        device: Box,
        order: Box,
        command: Box,
        wishes: Mapping[int, Box] | None = None,
        snapshot_s: float = 60.0,
    ) -> None: ...
    def start(self, priority: int = 80, cpu: int = -1) -> str: ...
    def stop(self, timeout_s: float = 2.0) -> bool: ...
    def order(self, stop: int, t_depart_ns: int = 0) -> None: ...
    def change(self, compiled_settings: bytes) -> bool: ...
    @property
    def digest(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def skipped(self) -> int: ...
    @property
    def lateness_max_ns(self) -> int: ...

from enum import IntEnum

from cython_core.records import Command
from drivers.registermap import Plan

class Due(IntEnum):
    WAIT = 0
    WRITE = 1
    URGENT = 2
    SILENT = 3
    EXPIRED = 4
    REFUSED = 5

class WriteRules:
    def __init__(self, plan: Plan) -> None: ...
    def due(self, command: Command, now_ns: int) -> Due: ...
    def tried(self, due: Due, now_ns: int) -> None: ...
    def acknowledged(self, command: Command, now_ns: int) -> None: ...
    def read(self) -> None: ...
    def forget(self) -> None: ...

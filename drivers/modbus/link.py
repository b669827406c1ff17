"""Where a Modbus wire leads: a TCP or UDP address or a serial line, checked. Plain values; nothing is opened here.

Errors   ValueError: the value and what is allowed.
"""

from __future__ import annotations

from dataclasses import dataclass

BAUD_RATES = (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600)
PARITIES = ("N", "E", "O")
LONGEST_PATH = 255  # bytes


@dataclass(frozen=True, slots=True)
class TcpLink:
    """Modbus TCP, or a gateway with several units behind it."""

    host: str
    port: int = 502

    def __post_init__(self) -> None:
        if not 1 <= self.port <= 65535:
            raise ValueError(f"{self.host}: port {self.port} is outside 1 ... 65535")

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UdpLink(TcpLink):
    """The frames of Modbus TCP, each in a datagram of its own."""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}/udp"


@dataclass(frozen=True, slots=True)
class SerialLink:
    """Modbus RTU. parity N, E, O; rs485: the kernel switches the transmitter (adapters do it by themselves)."""

    path: str
    baud: int = 9600
    parity: str = "N"
    stop_bits: int = 1
    rs485: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.path.encode()) <= LONGEST_PATH:
            raise ValueError(f"a serial path has 1 ... {LONGEST_PATH} bytes, not {len(self.path.encode())}")
        for what, value, allowed in (
            ("baud", self.baud, BAUD_RATES),
            ("parity", self.parity, PARITIES),
            ("stop_bits", self.stop_bits, (1, 2)),
        ):
            if value not in allowed:
                raise ValueError(f"{self.path}: {what} {value} is none of {', '.join(map(str, allowed))}")

    def __str__(self) -> str:
        return f"{self.path} ({self.baud} 8{self.parity}{self.stop_bits})"

    @property
    def bits_per_char(self) -> int:
        """Start bit, 8 data bits, parity, stop bits."""
        return 9 + (self.parity != "N") + self.stop_bits

    @property
    def char_ns(self) -> int:
        """Time of one character on the wire, ns."""
        return self.bits_per_char * 1_000_000_000 // self.baud

    @property
    def silence_ns(self) -> int:
        """The rest between two frames, ns: 3.5 characters, 1.75 ms above 19 200 baud.

        Source: Modbus over serial line v1.02, section 2.5.1.1.
        """
        return 1_750_000 if self.baud > 19200 else self.char_ns * 7 // 2


Link = TcpLink | SerialLink

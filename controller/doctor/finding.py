"""What a check says, where a shortfall is mended, and the files of a host. Pure except for reading below a root.

Shapes   a check returns Findings; `mend` of a shortfall holds lines that can be copied as they stand.
Errors   none: what cannot be read is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cython_core.realtime.host import text_of

OK, SHORT, UNKNOWN = "ok", "short", "unknown"
UNIT = "in the service's unit, below [Service]"
COMMAND = "as a command"
IN_CONTAINER = "for a container, as an option when it is started"
UDEV = "in /etc/udev/rules.d/90-v2g.rules, then reboot"


@dataclass(frozen=True, slots=True)
class Mend:
    """One line, and where it is put."""

    where: str
    line: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One check. name: stable, explained in docs/operations.md; of: which one, when there are several."""

    name: str
    found: str
    verdict: str = OK
    why: str = ""
    mend: tuple[Mend, ...] = ()
    of: str = ""

    @property
    def title(self) -> str:
        return f"{self.name} {self.of}".rstrip()


@dataclass(frozen=True, slots=True)
class Host:
    """The files of a host below root: the running one's, or those that a test lays out."""

    root: Path = Path("/")

    def path(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def text(self, path: str) -> str:
        """A small file's text; nothing when it is absent or not ours to read."""
        return text_of(self.path(path))

    def number(self, path: str) -> int | None:
        """A file that holds one whole number."""
        text = self.text(path)
        return int(text) if text.lstrip("-").isdigit() else None

    def has(self, path: str) -> bool:
        return self.path(path).exists()

    def texts(self, pattern: str) -> list[str]:
        """The texts of all files that match."""
        return [text_of(path) for path in sorted(self.root.glob(pattern.lstrip("/")))]

    @property
    def board(self) -> str:
        """What the device tree calls this board; nothing on a PC."""
        return self.text("/proc/device-tree/model")

    @property
    def is_pi(self) -> bool:
        return self.board.startswith("Raspberry Pi")

    @property
    def is_container(self) -> bool:
        return any(map(self.has, ("/.dockerenv", "/run/.containerenv", "/run/systemd/container")))

    def kernel_parameter(self, words: str) -> Mend:
        """Where this host keeps its kernel's command line."""
        for path in ("/boot/firmware/cmdline.txt", "/boot/cmdline.txt"):
            if self.has(path):
                return Mend(f"in {path}, at the end of its one line, then reboot", words)
        if self.has("/etc/default/grub"):
            return Mend("in /etc/default/grub, inside GRUB_CMDLINE_LINUX, then sudo update-grub and reboot", words)
        return Mend("on the kernel's command line, then reboot", words)

    def boot_config(self, line: str) -> Mend:
        """Where a Raspberry Pi keeps its device settings."""
        path = "/boot/firmware/config.txt" if self.has("/boot/firmware/config.txt") else "/boot/config.txt"
        return Mend(f"in {path}, then reboot", line)


def mebibytes(n_bytes: float) -> str:
    """12 MiB, 3.4 GiB"""
    return f"{n_bytes / 2**30:.1f} GiB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:.0f} MiB"

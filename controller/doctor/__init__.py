"""Is this host fit to run the controller? Checks of kernel, rights, processors, wires, clock and room.

Shapes   examine(host, answers, subject) -> one Finding a check, in the order of the page. Pure: host and answers are
         the running machine's, or a test's.
Errors   none: what cannot be found out is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from controller.doctor import board, processor, room, service
from controller.doctor.answers import Answers
from controller.doctor.finding import SHORT, Finding, Host
from controller.site import Site
from cython_core.settings import Settings

RIGHTS = ("real-time", "memory-lock")  # what require_realtime insists on


@dataclass(frozen=True, slots=True)
class Subject:
    """What the host is to run. site: None without a site file."""

    site: Site | None = None
    settings: Settings = field(default_factory=Settings)
    period_ms: int = 10
    runtime_dir: Path = Path("/run/v2g")
    state_dir: Path = Path("/var/lib/v2g")
    ports: tuple[str, ...] | None = None  # serial ports in use; None: any that is there

    @classmethod
    def of_site(cls, site: Site) -> Subject:
        ports = tuple(dict.fromkeys(w.serial for w in (site.meter, site.inverter) if w.serial))
        return cls(site, site.settings, site.period_ms, site.runtime_dir, site.state_dir, ports)

    def where(self, key: str) -> str:
        """Where a key of the site file stands, or would."""
        if self.site is None:
            return "in the site file"
        return f"at {self.site.where(key)}" if key in self.site.origins else f"in {self.site.path}"


def examine(host: Host, answers: Answers, subject: Subject, system: bool = False) -> list[Finding]:
    """Every check. system: those of services that start with the board, too."""
    return [
        processor.kernel(host, answers),
        processor.priority(host, answers),
        processor.memory_lock(host, answers),
        processor.rt_runtime(host),
        processor.governor(host),
        processor.idle_states(host, answers),
        processor.isolated(host),
        *board.serial_ports(host, answers, subject.ports),
        *networks(host, answers, subject),
        board.clock(host, answers),
        room.runtime_dir(host, answers, subject.runtime_dir, subject.period_ms, subject.where("runtime_dir")),
        room.state_dir(host, answers, subject.state_dir, subject.where("state_dir")),
        room.memory(host, subject.period_ms),
        room.swap(host, answers),
        *board.throttling(host, answers),
        board.watchdog(host),
        *(service.services(host, answers, subject.site) if system else ()),
    ]


def networks(host: Host, answers: Answers, subject: Subject) -> list[Finding]:
    """The ways to the site's devices."""
    if subject.site is None:
        return []
    devices = {"meter": subject.site.meter.host, "inverter": subject.site.inverter.host}
    return [
        board.network(host, answers, role, name, subject.where(f"{role}.host"))
        for role, name in devices.items()
        if name
    ]


def refused(findings: list[Finding]) -> list[Finding]:
    """The rights without which a site with require_realtime does not start."""
    return [f for f in findings if f.name in RIGHTS and f.verdict == SHORT]

"""Folders, memory and swap: is there room for what the controller keeps?"""

from __future__ import annotations

import struct
from pathlib import Path

from controller.doctor.answers import Answers
from controller.doctor.finding import COMMAND, IN_CONTAINER, SHORT, UNIT, UNKNOWN, Finding, Host, Mend, mebibytes
from cython_core.realtime.host import GRANT_MEMORY
from cython_core.records import StepRecord, kinds

RING_S = 60
STATE_BYTES = 2**30  # two journal files of 256 MiB, the outbox's 150 MB, the store
PROGRAM_BYTES = 128 * 2**20  # core and telemetry process
IN_MEMORY = ("tmpfs", "ramfs")


def ring_bytes(period_ms: int) -> int:
    """Size of the ring of one run, without its header: a power of two of steps, each with its sequence."""
    steps = RING_S * 1000 // period_ms
    return (1 << (steps - 1).bit_length()) * (struct.calcsize("<" + kinds(StepRecord)) + 8)


def runtime_dir(host: Host, answers: Answers, path: Path, period_ms: int, place: str) -> Finding:
    """The ring's folder: writable, in memory, room for two rings (the old one lives until the new one is whole)."""
    room = answers.room(path)
    mounted_at, kind = mount(host.text("/proc/self/mounts"), room.path)
    faults, mend = not_ours(answers, path, "/run", "RuntimeDirectory")
    if kind and kind not in IN_MEMORY:
        faults.append("Each step is written to the disk, which wears it and makes steps wait.")
        mend.append(in_memory(host, path, place))
    need = 2 * ring_bytes(period_ms)
    if room.free_bytes < need:
        faults.append(f"Two rings need {mebibytes(need)}.")
        mend.append(Mend("as a command, until the next boot", f"sudo mount -o remount,size=50% {mounted_at}"))
    return folder("runtime-dir", path, kind, room.free_bytes, faults, mend)


def state_dir(host: Host, answers: Answers, path: Path, place: str) -> Finding:
    """Journal, outbox and store: writable, and room for them."""
    room = answers.room(path)
    faults, mend = not_ours(answers, path, "/var/lib", "StateDirectory")
    if room.free_bytes < STATE_BYTES:
        faults.append(f"Journal, outbox and store need {mebibytes(STATE_BYTES)}.")
        mend.append(Mend(f"{place}, on a larger disk", "state_dir: /FOLDER/ON/IT"))
    _, kind = mount(host.text("/proc/self/mounts"), room.path)
    return folder("state-dir", path, kind, room.free_bytes, faults, mend)


def in_memory(host: Host, path: Path, place: str) -> Mend:
    """/run is in memory wherever systemd is; elsewhere it has to be made so."""
    if not path.is_relative_to("/run"):
        return Mend(place, "runtime_dir: /run/v2g/NAME")
    if host.is_container:
        return Mend(IN_CONTAINER, "--tmpfs=/run")
    return Mend("in /etc/fstab, then reboot", "tmpfs /run tmpfs mode=755,nosuid,nodev 0 0")


def not_ours(answers: Answers, path: Path, base: str, key: str) -> tuple[list[str], list[Mend]]:
    """A folder that this user may not write: what the unit makes, or a command."""
    if answers.room(path).writable:
        return [], []
    until = ", until the next boot" if path.is_relative_to("/run") else ""
    mend = [Mend(f"as a command, for this user{until}", f"sudo install -d -o {answers.user} {path}")]
    if path.is_relative_to(base):
        mend.insert(0, Mend(UNIT, f"{key}={path.relative_to(base)}"))
    return ["This user may not write there: the program does not start."], mend


def folder(name: str, path: Path, kind: str, free_bytes: int, faults: list[str], mend: list[Mend]) -> Finding:
    found = f"{path}: {kind or 'unknown file system'}, {mebibytes(free_bytes)} free"
    if not faults:
        return Finding(name, found)
    return Finding(name, found, SHORT, " ".join(faults), tuple(mend))


def mount(mounts: str, path: Path) -> tuple[str, str]:
    """Place and kind of the file system that holds a path; the last mount at a place hides the ones before."""
    best = (-1, "", "")
    for line in mounts.splitlines():
        _, place, kind, *_ = line.split()
        depth = len(Path(place).parts)
        if path.is_relative_to(place) and depth >= best[0]:
            best = (depth, place, kind)
    return best[1:]


def memory(host: Host, period_ms: int) -> Finding:
    """Free memory for our processes and two rings."""
    available = memory_info(host).get("MemAvailable")
    if available is None:
        return Finding("memory", "cannot be read", UNKNOWN)
    need = PROGRAM_BYTES + 2 * ring_bytes(period_ms)
    found = f"{mebibytes(available)} available"
    if available >= need:
        return Finding("memory", found)
    mend = Mend("as a command, to see who has it", "ps aux --sort=-rss | head")
    return Finding("memory", found, SHORT, f"The controller and its rings need {mebibytes(need)}.", (mend,))


def swap(host: Host, answers: Answers) -> Finding:
    """Swap delays only memory that is not locked."""
    total = memory_info(host).get("SwapTotal")
    if total is None:
        return Finding("swap", "cannot be read", UNKNOWN)
    if total == 0:
        return Finding("swap", "none")
    if not answers.memory.startswith("none"):
        return Finding("swap", f"{mebibytes(total)}; the controller's memory is locked")
    off = "sudo systemctl disable --now dphys-swapfile" if host.has("/etc/dphys-swapfile") else "sudo swapoff -a"
    why = "A step waits for the disk when its memory has been swapped out. One of these lines."
    return Finding("swap", mebibytes(total), SHORT, why, (Mend(UNIT, GRANT_MEMORY), Mend(COMMAND, off)))


def memory_info(host: Host) -> dict[str, int]:
    """/proc/meminfo, bytes."""
    rows = (line.split() for line in host.text("/proc/meminfo").splitlines())
    return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows if len(row) == 3}

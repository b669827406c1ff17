"""What the host grants: each answer in words, each refusal with the line that grants it, and nothing half granted."""

from __future__ import annotations

import errno
import gzip
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cython_core.realtime import host

STATUS = Path("/proc/self/status")

TRAP = "other: refused, the control group has no real-time budget; sysctl kernel.sched_rt_runtime_us=-1 grants it"
UNIT = "other: refused; LimitRTPRIO=90 in the unit grants it"

# fmt: off
FIFO = [
    # errno        CAP_SYS_NICE  RLIMIT_RTPRIO           text                               why
    (0,            False,        0,                      "fifo 80",                         "granted"),
    (errno.EPERM,  False,        0,                      UNIT,                              "refused to a user"),
    (errno.EPERM,  False,        79,                     UNIT,                              "the limit is one too low"),
    (errno.EPERM,  False,        80,                     TRAP,                              "the limit is enough"),
    (errno.EPERM,  False,        resource.RLIM_INFINITY, TRAP,                              "no limit at all"),
    (errno.EPERM,  True,         0,                      TRAP,                              "root needs no limit"),
    (errno.EINVAL, True,         0,                      "other: refused: Invalid argument", "a priority that is none"),
]
PINNED = [
    # errno        processor  text                                                          why
    (0,            1,         "processor 1",                                                "granted"),
    (errno.EINVAL, 1,         "processor 1 refused; AllowedCPUs=1 in the unit grants it",   "kept from this service"),
    (errno.EINVAL, 4,         "processor 4 refused: this host has 0 ... 3",                 "there is none"),
    (errno.EINVAL, -1,        "processor -1 refused: this host has 0 ... 3",                "nor below"),
]
KERNELS = [
    # build      files                                                          mode         kind       why
    ("RT",       {},                                                            "rt",        "rt",      "by name"),
    ("",         {"sys/kernel/realtime": "1\n"},                                "rt",        "rt",      "it says so"),
    ("DYNAMIC",  {"sys/kernel/realtime": "0\n"},                                "unknown",   "unknown", "not rt"),
    ("PLAIN",    {},                                                            "full",      "preempt", "built so"),
    ("",         {},                                                            "none",      "none",    "not built so"),
    ("DYNAMIC",  {"sys/kernel/debug/sched/preempt": "none voluntary (full) lazy",
                  "proc/cmdline": "preempt=none"},                              "full",      "preempt", "set later"),
    ("DYNAMIC",  {"proc/cmdline": "quiet preempt=full preempt=none"},           "none",      "none",    "last word"),
    ("DYNAMIC",  {"proc/cmdline": "quiet",
                  "boot/config-6.1": "CONFIG_PREEMPT_VOLUNTARY=y\nCONFIG_A=y"}, "voluntary", "none",    "its build"),
    ("DYNAMIC",  {"proc/config.gz": "# CONFIG_PREEMPT is not set\nCONFIG_PREEMPT_LAZY=y"},
                                                                                "lazy",      "preempt", "kept inside"),
    ("DYNAMIC",  {},                                                            "unknown",   "unknown", "nobody says"),
    ("no /proc", {},                                                            "unknown",   "unknown", "no /proc"),
]
BUILDS = {"RT": "#1 SMP PREEMPT_RT", "DYNAMIC": "#1 SMP PREEMPT_DYNAMIC Debian", "PLAIN": "#1 SMP PREEMPT Debian",
          "": "#1 SMP Debian", "no /proc": ""}
# fmt: on


@pytest.mark.parametrize(("error", "may", "limit", "text", "why"), FIFO, ids=[c[-1] for c in FIFO])
def test_fifo(error: int, may: bool, limit: int, text: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "may", lambda capability: may and capability == host.CAP_SYS_NICE)
    monkeypatch.setattr(resource, "getrlimit", lambda what: {resource.RLIMIT_RTPRIO: (limit, limit)}[what])
    assert host.fifo_text(error, 80) == text, why


def test_fifo_is_tried_by_a_thread_that_is_gone_afterwards() -> None:
    threads = threading.active_count()
    assert host.try_fifo(80).startswith(("fifo 80", "other: refused"))
    assert host.try_fifo(1000) == "other: refused: Invalid argument"  # the kernel was really asked
    assert threading.active_count() == threads
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_a_control_group_without_a_budget_is_named() -> None:
    """The real trap, on a kernel that has it (CONFIG_RT_GROUP_SCHED): root, and yet refused."""
    group = Path("/sys/fs/cgroup/cpu") / f"v2g-test-{os.getpid()}"
    code = (
        "import os; from pathlib import Path; from cython_core.realtime.host import try_fifo;"
        f"Path('{group}/tasks').write_text(str(os.getpid())); print(try_fifo(80))"
    )
    try:
        group.mkdir()
    except OSError:
        pytest.skip("no control groups of the first version that a test may make (root, CONFIG_RT_GROUP_SCHED)")
    try:
        if not (group / "cpu.rt_runtime_us").exists():
            pytest.skip("this kernel has no CONFIG_RT_GROUP_SCHED")
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    finally:
        group.rmdir()
    assert done.stdout.strip() == TRAP


@pytest.mark.parametrize(("error", "cpu", "text", "why"), PINNED, ids=[c[-1] for c in PINNED])
def test_pinning(error: int, cpu: int, text: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf", {"SC_NPROCESSORS_CONF": 4}.__getitem__)
    assert host.pin_text(error, cpu) == text, why


@pytest.mark.parametrize("may", [False, True], ids=["a user", "root, or a service with that capability"])
def test_memory_that_only_half_fits_is_not_locked(may: bool) -> None:
    """A lock lasts, so in a process of its own. With a small limit mlockall would succeed, and threads fail later."""
    code = (
        "import resource; from cython_core.realtime import host;"
        "resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536));"
        f"host.may = lambda capability: {may} and capability == host.CAP_IPC_LOCK; print(host.lock_memory())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    grant = "LimitMEMLOCK=infinity in the unit grants it"
    tried = ("all, on fault", f"none: refused (Cannot allocate memory); {grant}")  # a container's root may be refused
    assert done.stdout.strip() in (tried if may else (f"none: refused; {grant}",))


def test_a_capability_is_read_from_the_kernel() -> None:
    capabilities = int(next(s.split()[1] for s in STATUS.read_text().splitlines() if s.startswith("CapEff")), 16)
    assert [host.may(bit) for bit in range(41)] == [bool(capabilities & 1 << bit) for bit in range(41)]


def test_locking_memory_says_what_it_did() -> None:
    """In a process of its own: a lock lasts. The kernel's own count agrees with the words."""
    code = (
        "from cython_core.realtime.host import lock_memory; from pathlib import Path; print(lock_memory());"
        "print([s.split()[1] for s in Path('/proc/self/status').read_text().splitlines() if s.startswith('VmLck')][0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    text, locked_kib = done.stdout.splitlines()
    assert text == "all, on fault" or text.startswith("none: ")
    assert (int(locked_kib) > 0) == (text == "all, on fault")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (None, "held at 0"),
        (errno.ENOENT, "not held: there is no /dev/cpu_dma_latency"),
        (errno.EACCES, f"not held: refused; the udev rule {host.GRANT_IDLE} grants it"),
        (errno.EPERM, f"not held: refused; the udev rule {host.GRANT_IDLE} grants it"),
        (errno.EBUSY, "not held: refused: Device or resource busy"),
    ],
)
def test_idle_states_are_held_or_the_reason_is_told(
    error: int | None, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path / "cpu_dma_latency"
    device.touch()
    really_open = os.open

    def answer(path: str, flags: int) -> int:
        assert (path, flags) == ("/dev/cpu_dma_latency", os.O_WRONLY)
        if error is not None:
            raise OSError(error, os.strerror(error))
        return really_open(device, flags)

    monkeypatch.setattr(os, "open", answer)
    held = host.IdleStates()
    assert held.text == text
    assert device.read_bytes() == (b"" if error else bytes(4))  # 0 microseconds, as a 32-bit word
    held.close()
    held.close()  # a second time is no error


@pytest.mark.parametrize(("build", "files", "mode", "kind", "why"), KERNELS, ids=[c[-1] for c in KERNELS])
def test_kernel(build: str, files: dict[str, str], mode: str, kind: str, why: str, tmp_path: Path) -> None:
    files = {"proc/sys/kernel/version": BUILDS[build], "proc/sys/kernel/osrelease": "6.1", **files}
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    assert (host.preemption(tmp_path), host.kernel_kind(tmp_path)) == (mode, kind), why


def test_the_running_kernel_is_known() -> None:
    rt = Path("/sys/kernel/realtime")
    assert (host.kernel_kind() == "rt") == (rt.exists() and rt.read_text().strip() == "1")
    assert host.preemption() in ("rt", "full", "lazy", "voluntary", "none", "unknown")

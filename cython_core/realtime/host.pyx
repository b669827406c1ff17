"""Real-time care of the host: memory lock, FIFO, affinity, idle states. Each call returns what was granted, in words.

Source   Linux: mlockall(2), pthread_setschedparam(3), capabilities(7), /dev/cpu_dma_latency (PM QoS); kernel
         parameters preempt= and rt_group_sched=.
Errors   none: a refused right is a text that names the line which grants it; who requires it decides.
"""

import os
import resource
import struct
import threading
import zlib
from pathlib import Path

from libc.errno cimport EPERM, errno
from libc.string cimport memset

cdef extern from "<sys/mman.h>" nogil:
    int mlockall(int flags)
    int MCL_CURRENT
    int MCL_FUTURE

cdef extern from * nogil:
    """
    #ifndef MCL_ONFAULT
    #define MCL_ONFAULT 4
    #endif
    """
    int MCL_ONFAULT

cdef extern from "<pthread.h>" nogil:
    ctypedef unsigned long pthread_t
    struct sched_param:
        int sched_priority
    pthread_t pthread_self()
    int pthread_setschedparam(pthread_t thread, int policy, const sched_param* param)
    int SCHED_FIFO

cdef extern from * nogil:
    """
    #include <errno.h>
    #include <sched.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    static int v2g_pin(int cpu) {
        unsigned long mask[16] = {0};                   /* the plain kernel interface: no feature-test macro needed */
        if (cpu < 0 || cpu >= 1024) return EINVAL;
        mask[cpu / (8 * sizeof(long))] = 1UL << (cpu % (8 * sizeof(long)));
        return syscall(SYS_sched_setaffinity, 0, sizeof(mask), mask) == 0 ? 0 : errno;
    }
    """
    int v2g_pin(int cpu)

GRANT_FIFO = "LimitRTPRIO=90"                           # in the unit
GRANT_MEMORY = "LimitMEMLOCK=infinity"                  # in the unit
GRANT_GROUP = "kernel.sched_rt_runtime_us=-1"           # by sysctl
GRANT_IDLE = 'KERNEL=="cpu_dma_latency", GROUP="v2g", MODE="0660"'  # as a udev rule
CAP_IPC_LOCK = 14
CAP_SYS_NICE = 23


cdef int fifo_self(int priority) noexcept nogil:
    cdef sched_param param
    memset(&param, 0, sizeof(param))
    param.sched_priority = priority
    return pthread_setschedparam(pthread_self(), SCHED_FIFO, &param)


cdef int pin_self(int cpu) noexcept nogil:
    return v2g_pin(cpu)


def may(int capability):
    """Whether this process holds a capability: root in a container often does not, a service may without being root."""
    with open("/proc/self/status") as file:
        held = next(line.split()[1] for line in file if line.startswith("CapEff:"))
    return bool(int(held, 16) >> capability & 1)


def fifo_text(int error, int priority):
    """What fifo_self() returned, in words."""
    if error == 0:
        return f"fifo {priority}"
    if error != EPERM:
        return f"other: refused: {os.strerror(error)}"
    limit, _ = resource.getrlimit(resource.RLIMIT_RTPRIO)
    if limit == resource.RLIM_INFINITY or limit >= priority or may(CAP_SYS_NICE):
        # CONFIG_RT_GROUP_SCHED: a control group begins without a budget, for root too
        return f"other: refused, the control group has no real-time budget; sysctl {GRANT_GROUP} grants it"
    return f"other: refused; {GRANT_FIFO} in the unit grants it"


def try_fifo(int priority):
    """What a thread of this process would be granted, in words: tried in one that ends at once."""
    errors = []
    thread = threading.Thread(target=lambda: errors.append(fifo_self(priority)))
    thread.start()
    thread.join()
    return fifo_text(errors[0], priority)


def pin_text(int error, int cpu):
    """What pin_self() returned, in words."""
    if error == 0:
        return f"processor {cpu}"
    last = os.sysconf("SC_NPROCESSORS_CONF") - 1
    if not 0 <= cpu <= last:
        return f"processor {cpu} refused: this host has 0 ... {last}"
    return f"processor {cpu} refused; AllowedCPUs={cpu} in the unit grants it"


def lock_memory():
    """Lock all memory, on fault, if the limit allows it. Half-granted is worse than not: then nothing is locked."""
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if soft != resource.RLIM_INFINITY and not may(CAP_IPC_LOCK):
        return f"none: refused; {GRANT_MEMORY} in the unit grants it"
    if mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0:
        return f"none: refused ({os.strerror(errno)}); {GRANT_MEMORY} in the unit grants it"
    return "all, on fault"


class IdleStates:
    """Keeps the processor out of deep idle states for as long as it is open."""

    def __init__(self):
        self.text = "held at 0"
        self._file = None
        try:
            self._file = os.open("/dev/cpu_dma_latency", os.O_WRONLY)
            os.write(self._file, struct.pack("i", 0))
        except FileNotFoundError:
            self.text = "not held: there is no /dev/cpu_dma_latency"
        except PermissionError:
            self.text = f"not held: refused; the udev rule {GRANT_IDLE} grants it"
        except OSError as error:
            self.text = f"not held: refused: {error.strerror}"

    def close(self):
        """Let the processor idle again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def kernel_kind(root="/"):
    """rt, preempt, none or unknown: how far this kernel can be interrupted. root: where /proc and /sys are."""
    kinds = {"rt": "rt", "full": "preempt", "lazy": "preempt", "voluntary": "none", "none": "none"}
    return kinds.get(preemption(root), "unknown")


def preemption(root="/"):
    """rt, full, lazy, voluntary or none; unknown when the choice was made at boot and cannot be read.

    PREEMPT_DYNAMIC in a kernel's name says only that it can be chosen: preempt=none may have been.
    """
    root = Path(root)
    version = text_of(root / "proc/sys/kernel/version")
    if text_of(root / "sys/kernel/realtime") == "1" or "PREEMPT_RT" in version:
        return "rt"
    if "PREEMPT_DYNAMIC" in version:
        return chosen_at_boot(root)
    return "full" if "PREEMPT" in version else "none" if version else "unknown"


def chosen_at_boot(root):
    """What a PREEMPT_DYNAMIC kernel is set to: by itself (root may read it), by its command line, by its build."""
    modes = text_of(root / "sys/kernel/debug/sched/preempt")             # none voluntary (full) lazy
    if "(" in modes:
        return modes[modes.index("(") + 1:modes.index(")")]
    given = [word for word in text_of(root / "proc/cmdline").split() if word.startswith("preempt=")]
    if given:
        return given.pop().removeprefix("preempt=")                      # the last one counts
    release = text_of(root / "proc/sys/kernel/osrelease")
    config = text_of(root / "proc/config.gz") or text_of(root / "boot" / f"config-{release}")
    built = {"PREEMPT": "full", "PREEMPT_LAZY": "lazy", "PREEMPT_VOLUNTARY": "voluntary", "PREEMPT_NONE": "none"}
    return next((mode for name, mode in built.items() if f"CONFIG_{name}=y" in config.split()), "unknown")


def text_of(path):
    """A small file's text; nothing when it is absent or not ours to read."""
    try:
        raw = path.read_bytes()
        return (zlib.decompress(raw, 31) if path.suffix == ".gz" else raw).decode(errors="replace").strip("\0\n ")
    except OSError:
        return ""

"""Real-time care of the host: memory lock, FIFO, affinity, idle states. Each call returns what was granted, in words.

thread_*()  a thread without the interpreter: one small stack, no signals, its rights given by who starts it.
Source      Linux: mlockall(2), pthread_setschedparam(3), capabilities(7), /dev/cpu_dma_latency (PM QoS); kernel
            parameters preempt= and rt_group_sched=.
Errors      none: a refused right is a text that names the line which grants it; who requires it decides.
"""

import os

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

cdef extern from "<signal.h>" nogil:
    ctypedef struct sigset_t:
        pass
    int SIG_SETMASK, SIGHUP, SIGINT, SIGTERM
    int sigemptyset(sigset_t* signals)
    int sigaddset(sigset_t* signals, int number)
    int sigfillset(sigset_t* signals)
    int sigtimedwait(const sigset_t* signals, void* info, const timespec* wait)
    int pthread_sigmask(int how, const sigset_t* signals, sigset_t* old)

cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec

cdef extern from "<sys/timex.h>" nogil:
    struct timex:
        unsigned int modes
        int status
    int adjtimex(timex* t)
    int STA_UNSYNC

cdef extern from "<sched.h>" nogil:
    struct sched_param:
        int sched_priority
    ctypedef struct cpu_set_t:
        pass
    int SCHED_FIFO
    void CPU_ZERO(cpu_set_t* cpus)
    void CPU_SET(int cpu, cpu_set_t* cpus)

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_attr_t:
        pass
    pthread_t pthread_self()
    int pthread_attr_init(pthread_attr_t* attr)
    int pthread_attr_setstacksize(pthread_attr_t* attr, size_t size)
    int pthread_attr_destroy(pthread_attr_t* attr)
    int pthread_create(pthread_t* thread, const pthread_attr_t* attr, thread_body_t body, void* arg)
    int pthread_join(pthread_t thread, void** result)
    int pthread_setname_np(pthread_t thread, const char* name)
    int pthread_setschedparam(pthread_t thread, int policy, const sched_param* param)
    int pthread_setaffinity_np(pthread_t thread, size_t size, const cpu_set_t* cpus)

cdef size_t STACK_BYTES = 256 * 1024        # 8 MiB, the default, would be locked into memory

GRANT_FIFO = "LimitRTPRIO=90"                           # in the unit
GRANT_MEMORY = "LimitMEMLOCK=infinity"                  # in the unit
GRANT_GROUP = "kernel.sched_rt_runtime_us=-1"           # by sysctl
GRANT_IDLE = 'KERNEL=="cpu_dma_latency", GROUP="v2g", MODE="0660"'  # as a udev rule
CAP_IPC_LOCK = 14
CAP_SYS_NICE = 23


cdef int thread_start(pthread_t* thread, thread_body_t body, void* arg, const char* name) noexcept:
    cdef pthread_attr_t attr
    cdef sigset_t every, before
    cdef int error
    sigfillset(&every)
    pthread_sigmask(SIG_SETMASK, &every, &before)           # signals belong to the main thread
    pthread_attr_init(&attr)
    pthread_attr_setstacksize(&attr, STACK_BYTES)
    error = pthread_create(thread, &attr, body, arg)
    pthread_attr_destroy(&attr)
    pthread_sigmask(SIG_SETMASK, &before, NULL)
    if error == 0:
        pthread_setname_np(thread[0], name)                 # for ps -L and top -H
    return error


cdef str thread_rights(pthread_t thread, int priority, int cpu):
    cdef cpu_set_t cpus
    text = fifo_text(fifo(thread, priority), priority) if priority else "other: not asked"
    if cpu < 0:
        return text
    CPU_ZERO(&cpus)
    CPU_SET(cpu, &cpus)
    return f"{text}; {pin_text(pthread_setaffinity_np(thread, sizeof(cpus), &cpus), cpu)}"


cdef void thread_join(pthread_t thread) noexcept:
    with nogil:
        pthread_join(thread, NULL)


cdef int fifo(pthread_t thread, int priority) noexcept nogil:
    cdef sched_param param
    memset(&param, 0, sizeof(param))
    param.sched_priority = priority
    return pthread_setschedparam(thread, SCHED_FIFO, &param)


def stop_asked(double seconds):
    """Wait for SIGTERM, SIGINT or SIGHUP, True when one comes. Whichever is to be heard must be blocked, and before any
    thread begins.
    """
    cdef sigset_t signals
    cdef timespec wait
    cdef int number
    wait.tv_sec = <long> seconds
    wait.tv_nsec = <long> ((seconds - wait.tv_sec) * 1e9)
    sigemptyset(&signals)
    sigaddset(&signals, SIGTERM)
    sigaddset(&signals, SIGINT)
    sigaddset(&signals, SIGHUP)
    with nogil:
        number = sigtimedwait(&signals, NULL, &wait)
    return number > 0


def clock_synchronized():
    """Whether the kernel believes that somebody keeps its wall clock right. Source: adjtimex(2)."""
    cdef timex t
    memset(&t, 0, sizeof(t))
    return adjtimex(&t) >= 0 and not t.status & STA_UNSYNC


def may(int capability):
    """Whether this process holds a capability: root in a container often does not, a service may without being root."""
    with open("/proc/self/status") as file:
        held = next(line.split()[1] for line in file if line.startswith("CapEff:"))
    return bool(int(held, 16) >> capability & 1)


def fifo_text(int error, int priority):
    """What the kernel answered when SCHED_FIFO was asked for, in words."""
    if error == 0:
        return f"fifo {priority}"
    if error != EPERM:
        return f"other: refused: {os.strerror(error)}"
    import resource
    limit, _ = resource.getrlimit(resource.RLIMIT_RTPRIO)
    if limit == resource.RLIM_INFINITY or limit >= priority or may(CAP_SYS_NICE):
        # CONFIG_RT_GROUP_SCHED: a control group begins without a budget, for root too
        return f"other: refused, the control group has no real-time budget; sysctl {GRANT_GROUP} grants it"
    return f"other: refused; {GRANT_FIFO} in the unit grants it"


def try_fifo(int priority):
    """What a thread of this process would be granted, in words: tried in one that ends at once."""
    import threading
    errors = []
    thread = threading.Thread(target=lambda: errors.append(fifo(pthread_self(), priority)))
    thread.start()
    thread.join()
    return fifo_text(errors[0], priority)


def pin_text(int error, int cpu):
    """What the kernel answered when a thread was to be pinned, in words."""
    if error == 0:
        return f"processor {cpu}"
    last = os.sysconf("SC_NPROCESSORS_CONF") - 1
    if not 0 <= cpu <= last:
        return f"processor {cpu} refused: this host has 0 ... {last}"
    return f"processor {cpu} refused; AllowedCPUs={cpu} in the unit grants it"


def lock_memory():
    """Lock all memory, on fault, if the limit allows it. Half-granted is worse than not: then nothing is locked."""
    import resource
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
            os.write(self._file, bytes(4))              # 0 microseconds, as a 32-bit word
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
    from pathlib import Path
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
    import zlib
    try:
        raw = path.read_bytes()
        return (zlib.decompress(raw, 31) if path.suffix == ".gz" else raw).decode(errors="replace").strip("\0\n ")
    except OSError:
        return ""

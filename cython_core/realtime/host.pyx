"""Real-time care of the host: memory lock, FIFO, affinity, idle states. Each call returns what was granted, in words.

Source   Linux: mlockall(2), pthread_setschedparam(3), /dev/cpu_dma_latency (PM QoS).
Errors   none: a refused right is a text that names the line which grants it; who requires it decides.
"""

import os
import resource
import struct

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
    #include <sched.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    static int v2g_pin(int cpu) {
        unsigned long mask[16] = {0};                   /* the plain kernel interface: no feature-test macro needed */
        if (cpu < 0 || cpu >= 1024) return 22;
        mask[cpu / (8 * sizeof(long))] = 1UL << (cpu % (8 * sizeof(long)));
        return syscall(SYS_sched_setaffinity, 0, sizeof(mask), mask) == 0 ? 0 : 1;
    }
    """
    int v2g_pin(int cpu)


cdef int fifo_self(int priority) noexcept nogil:
    cdef sched_param param
    memset(&param, 0, sizeof(param))
    param.sched_priority = priority
    return pthread_setschedparam(pthread_self(), SCHED_FIFO, &param)


cdef int pin_self(int cpu) noexcept nogil:
    return v2g_pin(cpu)


def fifo_text(int error, int priority):
    """What fifo_self() returned, in words."""
    if error == 0:
        return f"fifo {priority}"
    if error == EPERM and os.geteuid() == 0:
        return "other: root is refused, the control group has no real-time budget (CONFIG_RT_GROUP_SCHED)"
    return "other: refused; LimitRTPRIO=90 in the unit grants it"


def lock_memory():
    """Lock all memory, on fault, if the limit allows it. Half-granted is worse than not: then nothing is locked."""
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if soft != resource.RLIM_INFINITY and os.geteuid() != 0:
        return "none: refused; LimitMEMLOCK=infinity in the unit grants it"
    if mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0:
        return f"none: {os.strerror(errno)}"
    return "all, on fault"


class IdleStates:
    """Keeps the processor out of deep idle states for as long as it is open."""

    def __init__(self):
        self.text = "not held: there is no /dev/cpu_dma_latency"
        self._file = None
        try:
            self._file = os.open("/dev/cpu_dma_latency", os.O_WRONLY)
            os.write(self._file, struct.pack("i", 0))
            self.text = "held at 0"
        except PermissionError:
            self.text = "not held: refused; a udev rule for cpu_dma_latency grants it"
        except OSError:
            pass

    def close(self):
        """Let the processor idle again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def kernel_kind():
    """rt, preempt or none: how far this kernel can be interrupted."""
    try:
        with open("/sys/kernel/realtime") as file:
            if file.read().strip() == "1":
                return "rt"
    except OSError:
        pass
    return "preempt" if "PREEMPT" in os.uname().version else "none"

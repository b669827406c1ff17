"""Bus threads, seen from Python: one per wire, started and stopped here, running without the interpreter.

MeterBus      Plan -> Measurement. Each quantity's time is the last byte of the answer that carried it.
InverterBus   Plan -> DeviceState, and set-points by the rules of setpoint.pyx. t_ns is the oldest answer of the fast
              list, t_echo_ns the last acknowledged write. `start` writes go before the first set-point of a connection.
Errors        ValueError when a table does not fit (it names the limit); BusError when a thread cannot start or stop.
"""

import os
import time

cimport cython
from libc.stdint cimport int64_t
from libc.string cimport memset

from cython_core.realtime.mailbox cimport Mailbox, v2g_load, v2g_load_acquire, v2g_store, v2g_store_release
from drivers.modbus cimport posix
from drivers.modbus.poller cimport ASKED, HANDED_BACK, NOT_ASKED, bus_t, poller_turn
from drivers.modbus.posix cimport now_ns, pthread_t
from drivers.modbus.setpoint cimport setpoint_init
from drivers.modbus.tables cimport fill_tables
from drivers.modbus.wire cimport resolved, stats_of, wire_close, wire_init

from cython_core.realtime.host import fifo_text
from cython_core.records import Command, DeviceState, Measurement
from drivers.base import BusError

cdef int64_t MS = 1000000
cdef size_t STACK_BYTES = 262144        # 8 MiB, the default, would be locked into memory


cdef void* body(void* arg) noexcept nogil:
    """The thread, from its start to stop()."""
    cdef bus_t* b = <bus_t*> arg
    b.t_due_ns = now_ns()
    while not v2g_load(&b.wire.stop):
        poller_turn(b)
    wire_close(&b.wire)
    v2g_store_release(&b.done, 1)
    return NULL


cdef str granted(pthread_t thread, int priority, int cpu):
    """Ask for SCHED_FIFO (0: not) and a processor (-1: any); the answer in words."""
    cdef posix.sched_param param
    cdef posix.cpu_set_t cpus
    text = "other: not asked"
    if priority:
        param.sched_priority = priority
        text = fifo_text(posix.pthread_setschedparam(thread, posix.SCHED_FIFO, &param), priority)
    if cpu < 0:
        return text
    posix.CPU_ZERO(&cpus)
    posix.CPU_SET(cpu, &cpus)
    error = posix.pthread_setaffinity_np(thread, sizeof(cpus), &cpus)
    return f"{text}; processor {cpu}{' refused' if error else ''}"


def check_range(str name, value, int low, int high):
    """One limit of a bus."""
    if not low <= value <= high:
        raise ValueError(f"{name} = {value} is outside {low} ... {high}")


@cython.no_gc_clear                     # the mailboxes must outlive the thread, whatever a collection finds
cdef class Bus:
    """What both kinds of bus share: tables, thread, statistics."""

    def __cinit__(self):
        self.b.wire.fd = -1

    def __dealloc__(self):
        if self.running:
            v2g_store(&self.b.wire.stop, 1)
            with nogil:
                posix.pthread_join(self.thread, NULL)

    def start(self, int fifo_priority=70, int cpu=-1):
        """Begin to poll. Returns what the system granted: one line of text."""
        cdef posix.pthread_attr_t attr
        cdef posix.sigset_t every, before
        cdef int error
        if self.running:
            raise BusError(f"{self.host}:{self.port}: the bus is already running")
        check_range("fifo_priority", fifo_priority, 0, 98)
        check_range("cpu", cpu, -1, posix.CPU_SETSIZE - 1)
        self.reset()
        posix.sigfillset(&every)
        posix.pthread_sigmask(posix.SIG_SETMASK, &every, &before)   # signals belong to the main thread
        posix.pthread_attr_init(&attr)
        posix.pthread_attr_setstacksize(&attr, STACK_BYTES)
        error = posix.pthread_create(&self.thread, &attr, body, &self.b)
        posix.pthread_attr_destroy(&attr)
        posix.pthread_sigmask(posix.SIG_SETMASK, &before, NULL)
        if error:
            raise BusError(f"{self.host}:{self.port}: no thread for the bus ({os.strerror(error)})")
        self.running = True
        return granted(self.thread, fifo_priority, cpu)

    cdef int reset(self) except -1:
        """The state of a bus that has never run, with the tables of its plan."""
        cdef bus_t* b = &self.b
        ip = resolved(self.host, self.port)
        wire_init(&b.wire, ip, self.port, self.plan.timeout_ms * MS, self.plan.min_gap_ms * MS)
        setpoint_init(&b.setpoint, self.plan)
        memset(b.answers, 0, sizeof(b.answers))
        b.seen = b.judged = b.rounds = b.connects = b.t_echo_ns = b.started = 0
        b.done = 0
        b.hand_back = NOT_ASKED
        return 0

    def stop(self, double timeout_s=2.0):
        """End the thread and close the connection; what the device was last told stays in it. Twice does no harm."""
        if not self.running:
            return
        v2g_store(&self.b.wire.stop, 1)
        if not self.wait_until(&self.b.done, 1, timeout_s):
            raise BusError(f"{self.host}:{self.port}: the bus thread did not end within {timeout_s} s")
        with nogil:
            posix.pthread_join(self.thread, NULL)
        self.running = False

    cdef bint wait_until(self, int64_t* word, int64_t least, double timeout_s) except? 0:
        """True once the thread has set the word to at least this."""
        deadline = time.monotonic() + timeout_s
        while v2g_load_acquire(word) < least:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.001)
        return True

    def stats(self):
        """The counters now; the thread is not touched."""
        return stats_of(&self.b.wire.count)

    cdef int prepare(self, plan, str host, int port, int poll_ms, record, Mailbox out) except -1:
        if self.running:
            raise BusError(f"{self.host}:{self.port}: the bus is already running")
        check_range("poll_ms", poll_ms, 0, 10_000)
        check_range("plan: timeout_ms", plan.timeout_ms, 1, 10_000)
        check_range("plan: min_gap_ms", plan.min_gap_ms, 0, 10_000)
        check_range(f"{host}: port", port, 1, 65535)
        fill_tables(&self.b.tables, plan, record)
        check_mailbox("out", out, record)
        self.plan, self.host, self.port, self.out = plan, host, port, out
        memset(self.b.carriers, 0, sizeof(self.b.carriers))
        self.b.out = out.box
        self.b.period_ns = poll_ms * MS
        return 0


def check_mailbox(str name, Mailbox box not None, record):
    """A mailbox of the record this bus fills or reads."""
    if box.record is not record:
        raise ValueError(f"{name}: a mailbox of {box.record.__name__} is not one of {record.__name__}")


cdef class MeterBus(Bus):
    """Polls a meter into a mailbox of Measurement. poll_ms: 0 = as fast as the device answers."""

    def __init__(self, plan, str host, int port, int poll_ms, Mailbox out):
        for name in ("start", "setpoint", "stop"):
            if getattr(plan, name):
                raise ValueError(f"plan: a meter is never written, but {name} has writes")
        self.prepare(plan, host, port, poll_ms, Measurement, out)
        names = list(Measurement.__dataclass_fields__)
        powers = ("p_", "q_", "p1_", "p2_", "p3_", "i1_", "i2_", "i3_")
        for i, prefix in enumerate((("f_",), ("v1_", "v2_", "v3_"), powers)):
            for d in plan.decodes:
                if names[d.target].startswith(prefix):
                    self.b.carriers[<int> i] |= 1 << <int> d.read
        self.b.is_meter = 1


cdef class InverterBus(Bus):
    """Polls an inverter into a mailbox of DeviceState and writes the newest Command of another.

    It writes nothing until a Command with another mode than SILENT arrives, and nothing but `stop` in hand_back().
    """

    def __init__(self, plan, str host, int port, int poll_ms, Mailbox out, Mailbox command):
        if not plan.setpoint:
            raise ValueError("plan: an inverter needs at least one set-point write")
        self.prepare(plan, host, port, poll_ms, DeviceState, out)
        check_mailbox("command", command, Command)
        self.command = command
        self.b.command = command.box
        for i, r in enumerate(plan.reads):
            if r.every == 1:
                self.b.carriers[0] |= 1 << <int> i

    def hand_back(self, double timeout_s):
        """Write the stop sequence once, read everything back, write no set-point any more. True when all went well.

        It writes whatever was or was not commanded before: do not call it when only watching.
        """
        if not self.running:
            return False
        v2g_store_release(&self.b.hand_back, ASKED)
        self.wait_until(&self.b.hand_back, HANDED_BACK, timeout_s)
        return v2g_load_acquire(&self.b.hand_back) == HANDED_BACK

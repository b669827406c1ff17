"""Bus threads, seen from Python: one per wire, started and stopped here, running without the interpreter.

bus.meter()     Plan -> Measurement. Each quantity's time is the last byte of the answer that carried it.
bus.inverter()  Plan -> DeviceState, and set-points by the rules of setpoint.pyx. t_ns is the oldest answer of the fast
                list, t_echo_ns the last acknowledged write. `start` writes go before the first set-point of a
                connection.
Several devices share one wire: RS-485, or a TCP gateway with units behind it. All are added before start().
Errors          ValueError when a table does not fit (it names the limit); BusError when a port cannot be opened, a
                thread cannot start or stop.
"""

import os
import time

cimport cython
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.stdint cimport int64_t

from cython_core.realtime.mailbox cimport Mailbox, v2g_load, v2g_load_acquire, v2g_store, v2g_store_release
from drivers.modbus cimport posix
from drivers.modbus.poller cimport ASKED, HANDED_BACK, MAX_DEVICES, bus_t, device_reset, device_t, poller_turn
from drivers.modbus.posix cimport pthread_t
from drivers.modbus.setpoint cimport setpoint_init
from drivers.modbus.tables cimport fill_tables
from drivers.modbus.wire cimport open_link, stats_of, wire_close, wire_init

from cython_core.realtime.host import fifo_text, pin_text
from cython_core.records import Command, DeviceState, Measurement
from drivers.base import BusError
from drivers.modbus.link import SerialLink

cdef int64_t MS = 1000000
cdef size_t STACK_BYTES = 262144        # 8 MiB, the default, would be locked into memory


cdef void* body(void* arg) noexcept nogil:
    """The thread, from its start to stop()."""
    cdef bus_t* b = <bus_t*> arg
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
    return f"{text}; {pin_text(error, cpu)}"


def check_range(str name, value, int low, int high):
    """One limit of a bus."""
    if not low <= value <= high:
        raise ValueError(f"{name} = {value} is outside {low} ... {high}")


def check_mailbox(str name, Mailbox box not None, record):
    """A mailbox of the record this bus fills or reads."""
    if box.record is not record:
        raise ValueError(f"{name}: a mailbox of {box.record.__name__} is not one of {record.__name__}")


@cython.no_gc_clear                     # the mailboxes must outlive the thread, whatever a collection finds
cdef class Bus:
    """One wire and its thread. link: a TcpLink or SerialLink."""

    def __cinit__(self):
        self.b.wire.fd = self.fd = -1

    def __init__(self, link):
        self.link = link
        self.plans, self.boxes = [], []
        self.fd = open_link(&self.to, link)

    def __dealloc__(self):
        if self.running:
            v2g_store(&self.b.wire.stop, 1)
            with nogil:
                posix.pthread_join(self.thread, NULL)
        if self.fd >= 0:
            posix.close(self.fd)
        for i in range(self.b.n_devices):
            PyMem_Free(self.b.devices[<int> i])

    def meter(self, plan, int poll_ms, Mailbox out):
        """A meter: polled into a mailbox of Measurement. poll_ms: 0 = as fast as it answers."""
        cdef Device device
        self.check_open(plan)
        for name in ("start", "setpoint", "stop"):
            if getattr(plan, name):
                raise ValueError(f"plan: a meter is never written, but {name} has writes")
        device = self.add(plan, poll_ms, Measurement, out)
        names = list(Measurement.__dataclass_fields__)
        powers = ("p_", "q_", "p1_", "p2_", "p3_", "i1_", "i2_", "i3_")
        for i, prefix in enumerate((("f_",), ("v1_", "v2_", "v3_"), powers)):
            for d in plan.decodes:
                if names[d.target].startswith(prefix):
                    device.d.carriers[<int> i] |= 1 << <int> d.read
        device.d.is_meter = 1
        return device

    def inverter(self, plan, int poll_ms, Mailbox out, Mailbox command):
        """An inverter: polled into a mailbox of DeviceState; the newest Command of the other is written.

        Nothing is written until a Command with another mode than SILENT arrives, and nothing but `stop` in hand_back().
        """
        cdef Device device
        self.check_open(plan)
        if not plan.setpoint:
            raise ValueError("plan: an inverter needs at least one set-point write")
        check_mailbox("command", command, Command)
        device = self.add(plan, poll_ms, DeviceState, out)
        device.d.command = command.box
        self.boxes.append(command)
        for i, r in enumerate(plan.reads):
            if r.every == 1:
                device.d.carriers[0] |= 1 << <int> i
        return device

    cdef Device add(self, plan, int poll_ms, record, Mailbox out):
        """The next device, checked; nothing is added when a check fails."""
        cdef Device device = Device()
        check_range("poll_ms", poll_ms, 0, 10_000)
        check_range("plan: timeout_ms", plan.timeout_ms, 1, 10_000)
        check_range("plan: min_gap_ms", plan.min_gap_ms, 0, 10_000)
        check_mailbox("out", out, record)
        device.bus = self
        device.d = <device_t*> PyMem_Calloc(1, sizeof(device_t))
        if device.d == NULL:
            raise MemoryError
        try:
            fill_tables(&device.d.tables, plan, record)
            setpoint_init(&device.d.setpoint, plan)
        except ValueError:
            PyMem_Free(device.d)
            raise
        device.d.out = out.box
        device.d.period_ns = poll_ms * MS
        device.d.timeout_ns, device.d.gap_ns = plan.timeout_ms * MS, plan.min_gap_ms * MS
        self.b.devices[self.b.n_devices] = device.d
        self.b.n_devices += 1
        self.plans.append(plan)
        self.boxes.append(out)
        return device

    cdef int check_open(self, object plan) except -1:
        """Whether another device may come."""
        if self.running:
            raise BusError(f"{self.link}: the bus is already running")
        if self.b.n_devices == MAX_DEVICES:
            raise ValueError(f"{self.link}: {MAX_DEVICES} devices on one wire are the most")
        if isinstance(self.link, SerialLink):
            check_range("unit on a serial line", plan.unit, 1, 247)
        if plan.unit in (p.unit for p in self.plans):
            raise ValueError(f"{self.link}: unit {plan.unit} stands twice on this wire")
        return 0

    def start(self, int fifo_priority=70, int cpu=-1):
        """Begin to poll. Returns what the system granted: one line of text."""
        cdef posix.pthread_attr_t attr
        cdef posix.sigset_t every, before
        cdef int error
        if self.running:
            raise BusError(f"{self.link}: the bus is already running")
        if not self.plans:
            raise ValueError(f"{self.link}: no device on this bus")
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
            raise BusError(f"{self.link}: no thread for the bus ({os.strerror(error)})")
        self.running = True
        return granted(self.thread, fifo_priority, cpu)

    cdef int reset(self) except -1:
        """The state of a bus that has never run; the wire is opened anew for a second start."""
        if self.fd < 0:
            self.fd = open_link(&self.to, self.link)
        wire_init(&self.b.wire, &self.to, self.fd)
        self.fd = -1                            # the thread's from now on
        self.b.turn = 0
        self.b.done = 0
        for i, plan in enumerate(self.plans):
            device_reset(self.b.devices[<int> i])
            setpoint_init(&self.b.devices[<int> i].setpoint, plan)
        return 0

    def stop(self, double timeout_s=2.0):
        """End the thread and close the connection; what a device was last told stays in it. Twice does no harm."""
        if not self.running:
            return
        v2g_store(&self.b.wire.stop, 1)
        if not self.wait_until(&self.b.done, 1, timeout_s):
            raise BusError(f"{self.link}: the bus thread did not end within {timeout_s} s")
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

    @property
    def beats(self):
        """Advances while the thread lives, whatever the devices do: what a watchdog feeds on."""
        return v2g_load(&self.b.wire.beats)


cdef class Device:
    """One device on a bus: made by Bus.meter() or Bus.inverter()."""

    def stats(self):
        """The counters now; the thread is not touched."""
        return stats_of(&self.bus.b.wire, &self.d.count)

    def hand_back(self, double timeout_s):
        """Write the stop sequence once, read everything back, write no set-point any more. True when all went well.

        It writes whatever was or was not commanded before: do not call it when only watching.
        """
        if not self.bus.running:
            return False
        v2g_store_release(&self.d.hand_back, ASKED)
        self.bus.wait_until(&self.d.hand_back, HANDED_BACK, timeout_s)
        return v2g_load_acquire(&self.d.hand_back) == HANDED_BACK

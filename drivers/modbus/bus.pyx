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
from libc.string cimport memcpy

from cython_core.realtime.host cimport thread_join, thread_rights, thread_start
from cython_core.realtime.mailbox cimport Box, v2g_load, v2g_load_acquire, v2g_store, v2g_store_release
from cython_core.structs cimport command_t
from drivers.modbus cimport posix
from drivers.modbus.poller cimport ASKED, HANDED_BACK, MAX_DEVICES, bus_t, device_t, poller_turn
from drivers.modbus.tables cimport MAX_ENERGIES
from drivers.modbus.types cimport RTU, link_t
from drivers.modbus.wire cimport counts_of, stats_of, wire_close, wire_init

from drivers.base import BusError
from drivers.modbus.wire import opened


cdef void* body(void* arg) noexcept nogil:
    """The thread, from its start to stop()."""
    cdef bus_t* b = <bus_t*> arg
    while not v2g_load(&b.wire.stop):
        poller_turn(b)
    wire_close(&b.wire)
    v2g_store_release(&b.done, 1)
    return NULL


def check_range(str name, value, int low, int high):
    """One limit of a bus."""
    if not low <= value <= high:
        raise ValueError(f"{name} = {value} is outside {low} ... {high}")


def check_mailbox(str name, box, record):
    """A mailbox of the record this bus fills or reads."""
    if box.record is not record:
        raise ValueError(f"{name}: a mailbox of {box.record.__name__} is not one of {record.__name__}")


@cython.no_gc_clear                     # the mailboxes must outlive the thread, whatever a collection finds
cdef class Bus:
    """One wire and its thread. link: a TcpLink or SerialLink, or what wire.opened() made of it."""

    def __cinit__(self):
        self.b.wire.fd = self.fd = -1

    def __init__(self, link):
        cdef bytes raw
        self.boxes, self.devices = [], []
        self.link, raw, self.fd = link if isinstance(link, tuple) else opened(link)
        if len(raw) != sizeof(link_t):
            raise ValueError(f"{self.link}: a link of {len(raw)} bytes; this build has {sizeof(link_t)}")
        memcpy(&self.to, <const char*> raw, sizeof(link_t))

    def __dealloc__(self):
        if self.running:
            v2g_store(&self.b.wire.stop, 1)
            thread_join(self.thread)
        if self.fd >= 0:
            posix.close(self.fd)
        for i in range(self.b.n_devices):
            PyMem_Free(self.b.devices[<int> i])

    def meter(self, plan, int poll_ms, out):
        """A meter: polled into a mailbox of Measurement. poll_ms: 0 = as fast as it answers."""
        from cython_core.records import Measurement
        from drivers.modbus.compiled import meter
        check_mailbox("out", out, Measurement)
        return self.add(meter(plan, poll_ms), out)

    def inverter(self, plan, int poll_ms, out, command):
        """An inverter: polled into a mailbox of DeviceState; the newest Command of the other is written.

        Nothing is written until a Command with another mode than SILENT arrives, and nothing but `stop` in hand_back().
        """
        from cython_core.records import Command, DeviceState
        from drivers.modbus.compiled import inverter
        raw = inverter(plan, poll_ms)
        check_mailbox("out", out, DeviceState)
        check_mailbox("command", command, Command)
        return self.add(raw, out, command)

    def add(self, bytes compiled, Box out, Box command=None):
        """The next device: what compiled.meter() or inverter() made, and its mailboxes. None is added when it fails."""
        cdef Device device = Device()
        cdef device_t* d
        self.check(compiled, out, command)
        d = <device_t*> PyMem_Calloc(1, sizeof(device_t))
        if d == NULL:
            raise MemoryError
        self.b.devices[self.b.n_devices] = device.d = d
        self.b.n_devices += 1
        device.bus = self
        self.devices.append(compiled)
        self.boxes.append((out, command))
        self.renew(self.b.n_devices - 1)
        return device

    cdef int check(self, bytes compiled, Box out, Box command) except -1:
        """Whether this device may come."""
        cdef const device_t* d = <const device_t*> <const char*> compiled
        if self.running:
            raise BusError(f"{self.link}: the bus is already running")
        if len(compiled) != sizeof(device_t):
            raise ValueError(f"{self.link}: a device of {len(compiled)} bytes; this build has {sizeof(device_t)}")
        if self.b.n_devices == MAX_DEVICES:
            raise ValueError(f"{self.link}: {MAX_DEVICES} devices on one wire are the most")
        if self.to.kind == RTU:
            check_range("unit on a serial line", d.tables.unit, 1, 247)
        for i in range(self.b.n_devices):
            # a SunSpec inverter may hold its meter's model in its own chain: one unit is both
            alike = (self.boxes[i][1] is None) == (command is None)
            if alike and self.b.devices[<int> i].tables.unit == d.tables.unit:
                raise ValueError(f"{self.link}: unit {d.tables.unit} stands twice on this wire")
        check_range("words of out", out.n_words, d.tables.n_words, d.tables.n_words)
        if command is not None:
            check_range("words of command", command.n_words, sizeof(command_t) // 8, sizeof(command_t) // 8)
        return 0

    cdef void renew(self, int i):
        """A device that has never been asked."""
        cdef device_t* d = self.b.devices[i]
        cdef Box out, command
        memcpy(d, <const char*> <bytes> self.devices[i], sizeof(device_t))
        out, command = self.boxes[i]
        d.out = out.box
        d.command = command.box if command is not None else NULL

    def start(self, int fifo_priority=70, int cpu=-1):
        """Begin to poll. Returns what the system granted: one line of text."""
        if self.running:
            raise BusError(f"{self.link}: the bus is already running")
        if not self.devices:
            raise ValueError(f"{self.link}: no device on this bus")
        check_range("fifo_priority", fifo_priority, 0, 98)
        check_range("cpu", cpu, -1, posix.CPU_SETSIZE - 1)
        self.reset()
        error = thread_start(&self.thread, body, &self.b, b"bus")
        if error:
            raise BusError(f"{self.link}: no thread for the bus ({os.strerror(error)})")
        self.running = True
        return thread_rights(self.thread, fifo_priority, cpu)

    cdef void reset(self):
        """The state of a bus that has never run; in a second start the thread opens a serial port by itself."""
        wire_init(&self.b.wire, &self.to, self.fd)
        self.fd = -1                            # the thread's from now on
        self.b.turn = 0
        self.b.done = 0
        for i in range(self.b.n_devices):
            self.renew(i)

    def stop(self, double timeout_s=2.0):
        """End the thread and close the connection; what a device was last told stays in it. Twice does no harm."""
        if not self.running:
            return
        v2g_store(&self.b.wire.stop, 1)
        if not self.wait_until(&self.b.done, 1, timeout_s):
            raise BusError(f"{self.link}: the bus thread did not end within {timeout_s} s")
        thread_join(self.thread)
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

    def counts(self):
        """The same as bare numbers in the order of BusStats: for the core process, which loads no dataclass."""
        return counts_of(&self.bus.b.wire, &self.d.count)

    def energies(self):
        """(time of the newest answer in ns of CLOCK_MONOTONIC, 0: none; Wh in the order of tables.ENERGIES, NaN: not
        read). The thread is not touched: a value may be newer than the time."""
        cdef int64_t[4] words
        cdef int64_t t_ns = v2g_load(&self.d.t_energies_ns)
        for i in range(MAX_ENERGIES):
            words[<int> i] = v2g_load(&self.d.energies[<int> i])
        return t_ns, [(<double*> words)[<int> i] for i in range(MAX_ENERGIES)]

    def hand_back(self, double timeout_s):
        """Write the stop sequence once, read everything back, write no set-point any more. True when all went well.

        It writes whatever was or was not commanded before: do not call it when only watching.
        """
        if not self.bus.running:
            return False
        v2g_store_release(&self.d.hand_back, ASKED)
        self.bus.wait_until(&self.d.hand_back, HANDED_BACK, timeout_s)
        return v2g_load_acquire(&self.d.hand_back) == HANDED_BACK

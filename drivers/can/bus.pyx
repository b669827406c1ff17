"""A CAN bus thread, seen from Python: started and stopped here, running without the interpreter.

bus.inverter()  Plan -> DeviceState, and set-points. t_ns is the oldest carrier frame; t_echo_ns the last word of the
                device itself that it has taken a set-point: its acknowledging frame, or a read-back that shows it.
                That another node acknowledged the bits on the bus is not the device's word.
The interface need not be there yet, or up: the thread waits for it, at the start and whenever it goes.
Errors          ValueError when a table does not fit; BusError when a thread cannot start or stop.
"""

import os
import time

cimport cython
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from cython_core.realtime.host cimport thread_join, thread_rights, thread_start
from cython_core.realtime.mailbox cimport Box, v2g_load, v2g_load_acquire, v2g_store, v2g_store_release
from cython_core.structs cimport command_t, device_state_t
from drivers.can.poller cimport ASKED, HANDED_BACK, can_bus_t, can_device_t, can_turn
from drivers.can.wire cimport can_close, can_wire_init
from drivers.modbus.posix cimport CPU_SETSIZE

from drivers.base import BusError


cdef void* body(void* arg) noexcept nogil:
    """The thread, from its start to stop()."""
    cdef can_bus_t* b = <can_bus_t*> arg
    while not v2g_load(&b.wire.stop):
        can_turn(b)
    can_close(&b.wire)
    v2g_store_release(&b.done, 1)
    return NULL


def check_range(str name, value, int low, int high):
    """One limit of a bus."""
    if not low <= value <= high:
        raise ValueError(f"{name} = {value} is outside {low} ... {high}")


@cython.no_gc_clear                     # the mailboxes must outlive the thread, whatever a collection finds
cdef class Bus:
    """One interface and its thread. link: a CanLink, or its name."""

    def __cinit__(self):
        self.b.wire.fd = -1

    def __init__(self, link):
        self.link = link
        self.name = str(link).encode()
        check_range("characters of an interface", len(self.name), 1, 15)

    def __dealloc__(self):
        if self.running:
            v2g_store(&self.b.wire.stop, 1)
            thread_join(self.thread)

    def inverter(self, plan, int poll_ms, out, command):
        """The device: its frames into a mailbox of DeviceState; the newest Command of the other is sent.

        Nothing but questions is sent until a Command with another mode than SILENT arrives.
        """
        from cython_core.records import Command, DeviceState
        from drivers.can.compiled import inverter
        for name, box, record in (("out", out, DeviceState), ("command", command, Command)):
            if box.record is not record:
                raise ValueError(f"{name}: a mailbox of {box.record.__name__} is not one of {record.__name__}")
        return self.add(inverter(plan, poll_ms), out, command)

    def add(self, bytes compiled, Box out, Box command=None):
        """What compiled.inverter() made, and its mailboxes."""
        cdef Device device = Device()
        if self.compiled is not None or command is None:
            raise ValueError(f"{self.link}: one inverter with a mailbox of commands is all that a CAN interface takes")
        if len(compiled) != sizeof(can_device_t):
            raise ValueError(f"{self.link}: a device of {len(compiled)} bytes; this build has {sizeof(can_device_t)}")
        check_range("words of out", out.n_words, sizeof(device_state_t) // 8, sizeof(device_state_t) // 8)
        check_range("words of command", command.n_words, sizeof(command_t) // 8, sizeof(command_t) // 8)
        self.compiled, self.out, self.command = compiled, out, command
        device.bus = self
        return device

    def start(self, int fifo_priority=70, int cpu=-1):
        """Begin to listen. Returns what the system granted: one line of text."""
        cdef can_device_t* d = &self.b.device
        cdef int i
        if self.running:
            raise BusError(f"{self.link}: the bus is already running")
        if self.compiled is None:
            raise ValueError(f"{self.link}: no device on this bus")
        check_range("fifo_priority", fifo_priority, 0, 98)
        check_range("cpu", cpu, -1, CPU_SETSIZE - 1)
        memcpy(d, <const char*> self.compiled, sizeof(can_device_t))
        d.out, d.command = self.out.box, self.command.box
        d.next_ask = d.tables.n_frames
        for i in range(d.tables.n_frames):
            d.slots[i].counter = -1
        can_wire_init(&self.b.wire, self.name, &d.tables)
        self.b.done = 0
        error = thread_start(&self.thread, body, &self.b, b"can")
        if error:
            raise BusError(f"{self.link}: no thread for the bus ({os.strerror(error)})")
        self.running = True
        return thread_rights(self.thread, fifo_priority, cpu)

    def stop(self, double timeout_s=2.0):
        """End the thread and close the socket; what the device was last told stays in it. Twice does no harm."""
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
        """Advances while the thread lives, whatever the bus does: what a watchdog feeds on."""
        return v2g_load(&self.b.wire.beats)


cdef class Device:
    """The device on a bus: made by Bus.inverter()."""

    def stats(self):
        """The counters now; the thread is not touched."""
        from drivers.can.statistics import CanStats
        return CanStats(*self.counts())

    def counts(self):
        """The same as bare numbers in the order of CanStats: for the core process, which loads no dataclass."""
        wire = &self.bus.b.wire
        count = &wire.count
        return [
            v2g_load(&wire.beats), v2g_load(&count.attempts), v2g_load(&count.answers), v2g_load(&count.timeouts),
            v2g_load(&count.bad_frames), v2g_load(&count.duplicates), v2g_load(&count.reordered),
            v2g_load(&count.unasked), v2g_load(&count.foreign), v2g_load(&count.error_frames),
            v2g_load(&count.bus_off), v2g_load(&count.restarts), max(v2g_load(&wire.connects) - 1, 0),
            v2g_load(&wire.connected), v2g_load(&count.writes), v2g_load(&count.write_errors),
            v2g_load(&count.heartbeats), v2g_load(&count.refused), v2g_load(&count.expired),
            v2g_load(&count.changes), v2g_load(&count.last_errno), v2g_load(&count.t_success_ns),
        ]

    def hand_back(self, double timeout_s):
        """Send the stop frames once, wait for a whole new state, send no set-point any more. True when all went well.

        It sends whatever was or was not commanded before: do not call it when only watching.
        """
        cdef int64_t* word = &self.bus.b.device.hand_back
        if not self.bus.running:
            return False
        v2g_store_release(word, ASKED)
        self.bus.wait_until(word, HANDED_BACK, timeout_s)
        return v2g_load_acquire(word) == HANDED_BACK

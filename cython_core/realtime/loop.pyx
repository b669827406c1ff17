"""The loop: one thread without the interpreter, one step per grid point of CLOCK_MONOTONIC.

Grid     the multiples of the period on CLOCK_MONOTONIC; bus threads poll towards the same points. A wake-up more than
         a period late skips to the newest passed grid point, with k = 1 + skipped; lateness is recorded and never an
         input.
Settings change as a whole between two steps: two structs and one index; the state before that step goes to the ring.
Errors   none in the loop. Loop() raises ValueError on a wrong mailbox, start() RuntimeError the second time.
"""

import os
import time

cimport cython
from libc.errno cimport EINTR
from libc.math cimport NAN
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from cython_core.codes cimport MODE_SILENT, STOP_RAMP, STOP_RUN
from cython_core.compiled cimport settings_t
from cython_core.realtime.host cimport thread_join, thread_rights, thread_start
from cython_core.realtime.mailbox cimport (
    Box,
    mailbox_get,
    mailbox_put,
    v2g_load,
    v2g_load_acquire,
    v2g_store,
    v2g_store_release,
)
from cython_core.realtime.ring cimport ring_push, ring_snapshot
from cython_core.step cimport core_state_t, step
from cython_core.structs cimport command_t, device_state_t, inputs_t, measurement_t, order_t, step_record_t, wish_t

RUN, RAMP, SILENT = STOP_RUN, STOP_RAMP, MODE_SILENT      # records.Stop and Mode, for a process without records.py

cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int clock, timespec* t)
    int clock_nanosleep(int clock, int flags, const timespec* t, timespec* left)
    int CLOCK_MONOTONIC
    int TIMER_ABSTIME


cdef int64_t now_ns() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <int64_t> t.tv_sec * 1_000_000_000 + t.tv_nsec


cdef void sleep_until(int64_t t_ns) noexcept nogil:
    cdef timespec t
    t.tv_sec = t_ns // 1_000_000_000
    t.tv_nsec = t_ns % 1_000_000_000
    while clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR:
        pass


cdef void read_inputs(loop_t* loop, inputs_t* inputs) noexcept nogil:
    """The newest of each mailbox; at most one wish a step, so that a record holds all that arrived.

    The strongest source comes first: a weaker one that wishes without pause does not keep the operator waiting.
    """
    cdef int i
    mailbox_get(loop.meter, &inputs.meter, sizeof(inputs.meter), &loop.seen[0])
    mailbox_get(loop.device, &inputs.device, sizeof(inputs.device), &loop.seen[1])
    mailbox_get(loop.order, &inputs.order, sizeof(inputs.order), &loop.seen[2])
    inputs.wish.source = -1
    for i in range(7, 0, -1):
        if loop.wishes[i] == NULL:
            continue
        if mailbox_get(loop.wishes[i], &inputs.wish, sizeof(inputs.wish), &loop.seen[3 + i]):
            inputs.wish.source = i                      # the slot decides who speaks, not the text
            break
    else:
        memset(&inputs.wish, 0, sizeof(inputs.wish))
        inputs.wish.source = -1


cdef void nothing_yet(inputs_t* inputs) noexcept nogil:
    """What nobody has said is absent: no valid bit, and NaN. A permit is there until it is taken away."""
    cdef measurement_t* m = &inputs.meter
    cdef device_state_t* d = &inputs.device
    memset(inputs, 0, sizeof(inputs_t))
    m.f_hz = m.v1_v = m.v2_v = m.v3_v = m.p_w = m.q_var = NAN
    m.p1_w = m.p2_w = m.p3_w = m.i1_a = m.i2_a = m.i3_a = NAN
    d.p_w = d.q_var = d.p_set_readback_w = d.p_max_discharge_w = d.p_max_charge_w = NAN
    d.p_min_abs_w = d.s_max_va = d.soc_pu = NAN
    inputs.order.permit = 1
    inputs.order.ap_limit_pu = NAN


cdef void write_command(loop_t* loop, const step_record_t* rec) noexcept nogil:
    cdef command_t command
    command.n = rec.n
    command.t_ns = rec.t_ns
    command.p_w = rec.p_cmd_w
    command.q_var = rec.q_cmd_var
    command.mode = rec.mode
    command.valid_ms = rec.valid_ms
    mailbox_put(loop.command, &command, sizeof(command))


cdef void* run_loop(void* arg) noexcept nogil:
    cdef loop_t* loop = <loop_t*> arg
    cdef core_state_t* st = loop.st
    cdef inputs_t inputs
    cdef step_record_t rec
    cdef int64_t deadline_ns = (now_ns() // loop.period_ns + 1) * loop.period_ns
    cdef int64_t late_ns, k, which
    cdef int64_t used = v2g_load_acquire(&loop.which)
    nothing_yet(&inputs)
    while not v2g_load_acquire(&loop.stop):
        sleep_until(deadline_ns)
        late_ns = now_ns() - deadline_ns
        k = 1 + late_ns // loop.period_ns
        deadline_ns += (k - 1) * loop.period_ns
        late_ns -= (k - 1) * loop.period_ns
        read_inputs(loop, &inputs)
        which = v2g_load_acquire(&loop.which)
        if st.n % loop.snapshot_every == 0 or which != used:
            ring_snapshot(loop.ring, st.n, st, sizeof(core_state_t))
            used = which
        step(st, loop.cfg[which], &inputs, deadline_ns, k, &rec)
        rec.lateness_ns = late_ns
        write_command(loop, &rec)
        ring_push(loop.ring, &rec)
        v2g_store(&loop.skipped, st.skipped)
        if late_ns > loop.lateness_max_ns:
            v2g_store(&loop.lateness_max_ns, late_ns)
        v2g_store_release(&loop.steps, st.n)
        deadline_ns += loop.period_ns
    v2g_store_release(&loop.done, 1)
    return NULL


cdef mailbox_t* checked(str name, Box box, int n_bytes) except NULL:
    """What the loop reads there, or writes, fits."""
    if 8 * box.n_words != n_bytes:
        raise ValueError(f"{name}: a mailbox of {box.n_words} words; a step has {n_bytes // 8}")
    return box.box


@cython.no_gc_clear                     # what the thread works on must outlive it, whatever a collection finds
cdef class Loop:
    """core, its ring and its mailboxes in one thread. wishes: {WishSource: mailbox}."""

    def __init__(self, Core core, RingWriter ring, Box meter, Box device, Box order, Box command, wishes=None,
                 double snapshot_s=60.0):
        cdef Box box
        memset(&self.loop, 0, sizeof(loop_t))
        self.core = core
        self.ring = ring
        self.boxes = (meter, device, order, command, dict(wishes or {}))
        self.loop.period_ns = core.cfg.period_ns
        self.loop.snapshot_every = max(1, round(snapshot_s * 1e9 / core.cfg.period_ns))
        self.loop.meter = checked("meter", meter, sizeof(measurement_t))
        self.loop.device = checked("device", device, sizeof(device_state_t))
        self.loop.order = checked("order", order, sizeof(order_t))
        self.loop.command = checked("command", command, sizeof(command_t))
        for source, box in (wishes or {}).items():
            if not 1 <= source < 8:
                raise ValueError(f"wish source {source} is outside 1 ... 7")
            self.loop.wishes[source] = checked("wish", box, sizeof(wish_t))
        self.loop.ring = &ring.ring
        self.loop.st = &core.st
        self.loop.cfg[0] = &core.cfg
        self.loop.cfg[1] = &self.other
        self.changed = -1

    def __dealloc__(self):
        if self.running:
            v2g_store_release(&self.loop.stop, 1)
            thread_join(self.thread)

    def start(self, int priority=80, int cpu=-1):
        """Start the thread, once; returns what the host granted, in words."""
        if self.running or self.loop.done:
            raise RuntimeError("the loop has been started already; make another for another run")
        error = thread_start(&self.thread, run_loop, &self.loop, b"core")
        if error:
            raise RuntimeError(f"no thread for the core ({os.strerror(error)})")
        self.running = True
        return thread_rights(self.thread, priority, cpu)

    def stop(self, double timeout_s=2.0):
        """End after the step in progress; True when the thread has ended."""
        deadline = time.monotonic() + timeout_s
        v2g_store_release(&self.loop.stop, 1)
        while self.running and not v2g_load_acquire(&self.loop.done):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.001)
        if self.running:
            thread_join(self.thread)
        self.running = False
        return True

    def order(self, int stop, int64_t t_depart_ns=0):
        """What the operator wants, from now on: RUN or RAMP; and when the car must be ready, 0: nobody knows."""
        cdef order_t order
        order.t_ns = now_ns()
        order.permit = 1
        order.stop = stop
        order.ap_limit_pu = NAN
        order.t_depart_ns = t_depart_ns
        mailbox_put(self.loop.order, &order, sizeof(order))

    def change(self, bytes compiled_settings):
        """Other settings from the next step on; the state stays. False: the last ones are not in force yet, ask again.

        compiled_settings: of cython_core.compiled, for this build and period; else ValueError.
        """
        cdef settings_t cfg
        cdef settings_t* free
        if len(compiled_settings) != sizeof(settings_t):
            raise ValueError(f"settings of {len(compiled_settings)} bytes; this build has {sizeof(settings_t)}")
        memcpy(&cfg, <const char*> compiled_settings, sizeof(settings_t))
        if cfg.period_ns != self.loop.period_ns:
            raise ValueError(f"settings for a period of {cfg.period_ns} ns; this loop has {self.loop.period_ns}")
        if self.running and self.changed >= 0 and v2g_load_acquire(&self.loop.steps) <= self.changed + 1:
            return False                # the step in progress may still read what would be written now
        free = &self.other if self.loop.which == 0 else &self.core.cfg
        memcpy(free, &cfg, sizeof(settings_t))
        v2g_store_release(&self.loop.which, 1 - self.loop.which)
        self.changed = v2g_load_acquire(&self.loop.steps)       # not before the store: this thread may be held up there
        return True

    @property
    def digest(self):
        """63 bits that name the settings in force from the next step on, and the period."""
        return self.loop.cfg[self.loop.which].digest

    @property
    def steps(self):
        """Steps taken."""
        return v2g_load_acquire(&self.loop.steps)

    @property
    def skipped(self):
        """Grid points skipped."""
        return v2g_load(&self.loop.skipped)

    @property
    def lateness_max_ns(self):
        """The latest wake-up so far."""
        return v2g_load(&self.loop.lateness_max_ns)

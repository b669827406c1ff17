"""The loop: one thread without the interpreter, one step per grid point of CLOCK_MONOTONIC.

Grid     the multiples of the period on CLOCK_MONOTONIC; bus threads poll towards the same points. A wake-up more than
         a period late skips to the newest passed grid point, with k = 1 + skipped; lateness is recorded and never an
         input.
Errors   none in the loop. Loop() raises ValueError on a wrong wish source, start() RuntimeError the second time.
"""

import threading

from libc.errno cimport EINTR
from libc.stdint cimport int64_t
from libc.string cimport memset

from cython_core.realtime.host cimport fifo_self, pin_self
from cython_core.realtime.host import fifo_text, pin_text
from cython_core.realtime.mailbox cimport (
    Mailbox,
    mailbox_get_n,
    mailbox_put_n,
    v2g_load,
    v2g_load_acquire,
    v2g_store,
    v2g_store_release,
)
from cython_core.realtime.ring cimport ring_push, ring_snapshot
from cython_core.step cimport core_state_t, step
from cython_core.structs cimport command_t, inputs_t, step_record_t
from cython_core.compiled cimport settings_t

cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int clock, timespec* t)
    int clock_nanosleep(int clock, int flags, const timespec* t, timespec* left)
    int CLOCK_MONOTONIC
    int TIMER_ABSTIME

cdef enum:
    STACK_BYTES = 256 * 1024


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
    mailbox_get_n(loop.meter, &inputs.meter, sizeof(inputs.meter), &loop.seen[0])
    mailbox_get_n(loop.device, &inputs.device, sizeof(inputs.device), &loop.seen[1])
    mailbox_get_n(loop.order, &inputs.order, sizeof(inputs.order), &loop.seen[2])
    inputs.wish.source = -1
    for i in range(7, 0, -1):
        if loop.wishes[i] == NULL:
            continue
        if mailbox_get_n(loop.wishes[i], &inputs.wish, sizeof(inputs.wish), &loop.seen[3 + i]):
            inputs.wish.source = i                      # the slot decides who speaks, not the text
            break
    else:
        memset(&inputs.wish, 0, sizeof(inputs.wish))
        inputs.wish.source = -1


cdef void write_command(loop_t* loop, const step_record_t* rec) noexcept nogil:
    cdef command_t command
    command.n = rec.n
    command.t_ns = rec.t_ns
    command.p_w = rec.p_cmd_w
    command.q_var = rec.q_cmd_var
    command.mode = rec.mode
    command.valid_ms = rec.valid_ms
    mailbox_put_n(loop.command, &command, sizeof(command))


cdef void run_loop(loop_t* loop, core_state_t* st, const settings_t* cfg) noexcept nogil:
    cdef inputs_t inputs
    cdef step_record_t rec
    cdef int64_t deadline_ns = (now_ns() // loop.period_ns + 1) * loop.period_ns
    cdef int64_t late_ns, k
    memset(&inputs, 0, sizeof(inputs))
    inputs.order.permit = 1
    while not v2g_load_acquire(&loop.stop):
        sleep_until(deadline_ns)
        late_ns = now_ns() - deadline_ns
        k = 1 + late_ns // loop.period_ns
        deadline_ns += (k - 1) * loop.period_ns
        late_ns -= (k - 1) * loop.period_ns
        read_inputs(loop, &inputs)
        if st.n % loop.snapshot_every == 0:
            ring_snapshot(loop.ring, st.n, st, sizeof(core_state_t))
        step(st, cfg, &inputs, deadline_ns, k, &rec)
        rec.lateness_ns = late_ns
        write_command(loop, &rec)
        ring_push(loop.ring, &rec)
        v2g_store(&loop.skipped, st.skipped)
        if late_ns > loop.lateness_max_ns:
            v2g_store(&loop.lateness_max_ns, late_ns)
        v2g_store_release(&loop.steps, st.n)
        deadline_ns += loop.period_ns


cdef class Loop:
    """core, its ring and its mailboxes in one thread. wishes: {WishSource: Mailbox}."""

    def __init__(self, Core core, RingWriter ring, Mailbox meter, Mailbox device, Mailbox order, Mailbox command,
                 wishes=None, double snapshot_s=60.0):
        cdef Mailbox box
        memset(&self.loop, 0, sizeof(loop_t))
        self.core = core
        self.ring = ring
        self.boxes = (meter, device, order, command, dict(wishes or {}))
        self.loop.period_ns = core.cfg.period_ns
        self.loop.snapshot_every = max(1, round(snapshot_s * 1e9 / core.cfg.period_ns))
        self.loop.meter = meter.box
        self.loop.device = device.box
        self.loop.order = order.box
        self.loop.command = command.box
        for source, box in (wishes or {}).items():
            if not 1 <= source < 8:
                raise ValueError(f"wish source {source} is outside 1 ... 7")
            self.loop.wishes[source] = box.box
        self.loop.ring = &ring.ring
        self.granted = None
        self.thread = None

    def start(self, int priority=80, int cpu=-1):
        """Start the thread, once; returns what the host granted, in words."""
        if self.thread is not None:
            raise RuntimeError("the loop has been started already; make another for another run")
        started = threading.Event()
        before = threading.stack_size(STACK_BYTES)
        try:
            self.thread = threading.Thread(target=self._run, args=(started, priority, cpu), name="core", daemon=True)
            self.thread.start()
        finally:
            threading.stack_size(before)
        started.wait()
        return self.granted

    def _run(self, started, int priority, int cpu):
        self.granted = fifo_text(fifo_self(priority), priority)
        if cpu >= 0:
            self.granted += "; " + pin_text(pin_self(cpu), cpu)
        started.set()
        with nogil:
            run_loop(&self.loop, &self.core.st, &self.core.cfg)

    def stop(self, timeout_s=2.0):
        """End after the step in progress; True when the thread has ended."""
        v2g_store_release(&self.loop.stop, 1)
        if self.thread is not None:
            self.thread.join(timeout_s)
        return self.thread is None or not self.thread.is_alive()

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

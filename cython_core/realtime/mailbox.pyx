"""Mailboxes: one writer, latest value wins, no lock. See mailbox.pxd for the rules.

Shapes   mailbox_t, 64 words of 8 bytes. A value is a record of records.py, one word a field.
Errors   none on the hot side; Box() raises ValueError when value or place do not fit.
"""

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t

cdef extern from *:
    """
    #include <linux/futex.h>
    #include <sys/syscall.h>
    #include <time.h>
    #include <unistd.h>
    /* The word is the low half of `seq`: it changes with every put. Shared: a sleeper may be another process. */
    static void v2g_futex_wait(int64_t* seq, int64_t value, int64_t until_ns) {
        struct timespec until = {until_ns / 1000000000, until_ns % 1000000000};
        uint32_t* word = (uint32_t*) seq + (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
        syscall(SYS_futex, word, FUTEX_WAIT_BITSET, (uint32_t) value, &until, NULL, FUTEX_BITSET_MATCH_ANY);
    }
    static void v2g_futex_wake(int64_t* seq) {
        uint32_t* word = (uint32_t*) seq + (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
        syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
    }
    """
    void v2g_futex_wait(int64_t* seq, int64_t value, int64_t until_ns) noexcept nogil
    void v2g_futex_wake(int64_t* seq) noexcept nogil

cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int clock, timespec* t)
    int clock_nanosleep(int clock, int flags, const timespec* t, timespec* left)
    int CLOCK_MONOTONIC
    int TIMER_ABSTIME

cdef int64_t LOOK_NS = 1_000_000    # while a value is half written there is nothing to sleep on


cdef void mailbox_attach(mailbox_t* box, int n_words) noexcept nogil:
    if v2g_load(&box.seq) == 0:             # a value that is there already says itself how long it is
        v2g_store(&box.n_words, n_words)


cdef void nap(int64_t until_ns) noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    until_ns = min(until_ns, <int64_t> t.tv_sec * 1_000_000_000 + t.tv_nsec + LOOK_NS)
    t.tv_sec = until_ns // 1_000_000_000
    t.tv_nsec = until_ns % 1_000_000_000
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL)


cdef void mailbox_put(mailbox_t* box, const void* value, int n_bytes) noexcept nogil:
    cdef const int64_t* source = <const int64_t*> value
    cdef int n_words = n_bytes // 8
    cdef int64_t seq = v2g_load(&box.seq) | 1   # a dead writer's odd one serves: nobody has read under it
    cdef int i
    v2g_store(&box.seq, seq)
    v2g_fence_release()
    v2g_store(&box.n_words, n_words)
    for i in range(n_words):
        v2g_store(&box.words[i], source[i])
    v2g_store_release(&box.seq, seq + 1)
    v2g_fence()                     # the new sequence before the look at who sleeps; mailbox_wait the other way round
    if v2g_load(&box.sleepers):
        v2g_futex_wake(&box.seq)


cdef void mailbox_wait(mailbox_t* box, int64_t seen, int64_t until_ns) noexcept nogil:
    cdef int64_t seq
    v2g_store(&box.sleepers, 1)
    v2g_fence()
    seq = v2g_load(&box.seq)
    if seq == seen:
        v2g_futex_wait(&box.seq, seq, until_ns)
    elif seq & 1:                   # its writer is at it, or dead
        nap(until_ns)
    v2g_store(&box.sleepers, 0)


cdef int mailbox_get(mailbox_t* box, void* value, int n_bytes, int64_t* seen) noexcept nogil:
    cdef int n_words = n_bytes // 8
    cdef int64_t[61] copy
    cdef int64_t* target = <int64_t*> value
    cdef int64_t before, held
    cdef int i, _attempt
    for _attempt in range(TRIES):
        before = v2g_load_acquire(&box.seq)
        if before == seen[0] or before == 0:
            return 0
        if before & 1:
            continue
        held = v2g_load(&box.n_words)
        for i in range(n_words):
            copy[i] = v2g_load(&box.words[i])
        v2g_fence_acquire()
        if v2g_load(&box.seq) != before:
            continue
        if held != n_words:
            return 0
        for i in range(n_words):
            target[i] = copy[i]
        seen[0] = before
        return 1
    return 0


cdef class Box:
    """One mailbox, for whoever only hands it on: of its own, or in a buffer of at least 512 bytes to share."""

    def __cinit__(self, *_args, **_kwargs):
        self.box = &self.own

    def __init__(self, int n_words, buffer=None, Py_ssize_t offset=0):
        cdef Py_buffer view
        if not 1 <= n_words <= MAILBOX_WORDS:
            raise ValueError(f"a mailbox holds 1 ... {MAILBOX_WORDS} words, not {n_words}")
        if buffer is not None:
            PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE)
            size, pointer = view.len, <size_t> view.buf
            PyBuffer_Release(&view)
            if size < offset + <Py_ssize_t> sizeof(mailbox_t):
                raise ValueError(f"a mailbox needs {sizeof(mailbox_t)} bytes at {offset}, the buffer has {size}")
            if offset < 0 or offset % 8:
                raise ValueError(f"a mailbox at {offset}; it needs a multiple of 8, 0 or above")
            self.buffer = buffer    # an mmap or shared memory whose owner keeps it mapped
            self.box = <mailbox_t*> (<size_t> pointer + offset)
        self.n_words = n_words
        mailbox_attach(self.box, n_words)


cdef class Mailbox(Box):
    """A mailbox whose values are records, for the slow side, tests and tools. record: a record type of records.py."""

    def __init__(self, record, buffer=None, Py_ssize_t offset=0):
        from struct import Struct

        from cython_core.records import kinds
        self.record = record
        self.packer = Struct("<" + kinds(record))
        Box.__init__(self, self.packer.size // 8, buffer, offset)

    def put(self, value):
        """Publish a record."""
        cdef bytes raw = self.packer.pack(*(getattr(value, name) for name in self.record.__dataclass_fields__))
        mailbox_put(self.box, <const char*> raw, self.packer.size)

    def get(self):
        """The newest record if there is one this reader has not seen, else None."""
        cdef int64_t[61] words
        if not mailbox_get(self.box, words, self.packer.size, &self.seen):
            return None
        return self.record(*self.packer.unpack((<char*> words)[:self.packer.size]))

"""A writer and a reader of one mailbox that need no interpreter, to race each other. Compiled by race.py.

Values   number n fills every word of the value with n, so that a torn value shows by itself.
"""

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from cython_core.realtime.mailbox cimport (
    MAILBOX_WORDS,
    mailbox_attach,
    mailbox_get,
    mailbox_put,
    mailbox_t,
    mailbox_wait,
    v2g_load,
)


cdef int torn(const int64_t* value, int n_words) noexcept nogil:
    cdef int i
    for i in range(1, n_words):
        if value[i] != value[0]:
            return 1
    return 0


cdef int64_t now_ns() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <int64_t> t.tv_sec * 1_000_000_000 + t.tv_nsec


cdef class RaceBox:
    """One mailbox: of its own, or at the start of a shared buffer. Each reader has a RaceBox of its own."""
    cdef mailbox_t own
    cdef mailbox_t* box
    cdef object buffer
    cdef int64_t seen
    cdef int n_words

    def __cinit__(self, buffer=None, int n_words=MAILBOX_WORDS):
        cdef Py_buffer view
        self.box = &self.own
        if buffer is not None:
            PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE)
            self.box = <mailbox_t*> view.buf
            PyBuffer_Release(&view)
            self.buffer = buffer
        self.n_words = n_words
        mailbox_attach(self.box, n_words)

    @property
    def seq(self):
        """Odd: a value is half written."""
        return v2g_load(&self.box.seq)

    def write(self, int64_t first, int64_t count, int64_t longest_rest):
        """Publish first ... first + count - 1, and rest between them for any time up to longest_rest.

        longest_rest: 2^n - 1 looks at a word, a nanosecond or so each. A reader gets some values and meets the writer
        at every word of others.
        """
        cdef int64_t[61] value
        cdef int64_t n
        cdef int i, _look
        with nogil:
            for n in range(first, first + count):
                for i in range(self.n_words):
                    value[i] = n
                mailbox_put(self.box, value, 8 * self.n_words)
                for _look in range(n * 7919 & longest_rest):
                    v2g_load(&self.box.seq)

    def read(self, int64_t newest, int64_t last, int64_t polls):
        """Read on from `newest` until `last` or a later one arrives, at most `polls` times.

        (newest, values, torn ones, steps backwards)
        """
        cdef int64_t[61] value
        cdef int64_t values = 0, bad = 0, backwards = 0
        with nogil:
            while newest < last and polls > 0:
                polls -= 1
                if mailbox_get(self.box, value, 8 * self.n_words, &self.seen):
                    values += 1
                    bad += torn(value, self.n_words)
                    backwards += value[0] <= newest
                    newest = value[0]
        return newest, values, bad, backwards

    def read_carelessly(self, int64_t last, int64_t polls):
        """The same without a look at the sequence: how many values were torn."""
        cdef int64_t[61] value
        cdef int64_t bad = 0
        cdef int i
        value[0] = 0
        with nogil:
            while value[0] < last and polls > 0:
                polls -= 1
                for i in range(self.n_words):
                    value[i] = v2g_load(&self.box.words[i])
                bad += torn(value, self.n_words)
        return bad

    cdef void publish(self, int64_t n) noexcept nogil:
        cdef int64_t[61] value
        cdef int i
        for i in range(self.n_words):
            value[i] = n
        mailbox_put(self.box, value, 8 * self.n_words)

    cdef int await_number(self, int64_t n, bint asleep, int64_t longest_ns) noexcept nogil:
        """1 once number n is there, 0 when it was not for so long, or nobody has woken us."""
        cdef int64_t[61] value
        cdef int64_t until_ns = now_ns() + longest_ns
        value[0] = 0
        while value[0] != n:
            if asleep:
                mailbox_wait(self.box, self.seen, until_ns)
            if now_ns() >= until_ns:
                return 0
            mailbox_get(self.box, value, 8 * self.n_words, &self.seen)
        return 1

    def serve(self, RaceBox other, int64_t count, bint asleep, int64_t longest_ns):
        """1 ... count to the other box, each to be answered in this one. Returns the turns played.

        asleep: this side too sleeps at every turn. Else it is awake, and serves while the other side is about to sleep:
        after any time up to a microsecond.
        """
        cdef int64_t n, played = 0
        cdef int _look
        with nogil:
            for n in range(1, count + 1):
                if not asleep:
                    for _look in range(n * 7919 & 1023):
                        v2g_load(&self.box.seq)
                other.publish(n)
                if not self.await_number(n, asleep, longest_ns):
                    break
                played = n
        return played

    def answer(self, RaceBox other, int64_t count, int64_t longest_ns):
        """The other side of it: sleeps on this box, answers in the other. Returns the turns played."""
        cdef int64_t n, played = 0
        with nogil:
            for n in range(1, count + 1):
                if not self.await_number(n, True, longest_ns):
                    break
                other.publish(n)
                played = n
        return played

"""A writer and a reader that need no interpreter, to race each other through one mailbox. Compiled by its test.

Values   number n fills every word of the value with n, so that a torn value shows by itself.
"""

from libc.stdint cimport int64_t
from libc.string cimport memset

from cython_core.realtime.mailbox cimport MAILBOX_WORDS, mailbox_attach, mailbox_get, mailbox_put, mailbox_t, v2g_load

cdef mailbox_t box


cdef int torn(const int64_t* value) noexcept nogil:
    cdef int i
    for i in range(1, MAILBOX_WORDS):
        if value[i] != value[0]:
            return 1
    return 0


def attach():
    """An empty mailbox."""
    memset(&box, 0, sizeof(box))
    mailbox_attach(&box, MAILBOX_WORDS)


def write(int64_t count):
    """Publish 1 ... count."""
    cdef int64_t[61] value
    cdef int64_t n
    cdef int i
    with nogil:
        for n in range(1, count + 1):
            for i in range(MAILBOX_WORDS):
                value[i] = n
            mailbox_put(&box, value)


def read(int64_t last, int64_t polls):
    """Read until `last` arrives, at most `polls` times: (newest, values, torn ones, steps backwards)."""
    cdef int64_t[61] value
    cdef int64_t seen = 0, newest = 0, values = 0, bad = 0, backwards = 0
    with nogil:
        while newest < last and polls > 0:
            polls -= 1
            if mailbox_get(&box, value, &seen):
                values += 1
                bad += torn(value)
                backwards += value[0] <= newest
                newest = value[0]
    return newest, values, bad, backwards


def read_carelessly(int64_t last, int64_t polls):
    """The same without a look at the sequence: how many values were torn."""
    cdef int64_t[61] value
    cdef int64_t bad = 0
    cdef int i
    value[0] = 0
    with nogil:
        while value[0] < last and polls > 0:
            polls -= 1
            for i in range(MAILBOX_WORDS):
                value[i] = v2g_load(&box.words[i])
            bad += torn(value)
    return bad

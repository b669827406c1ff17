"""A writer of a ring that needs no interpreter, to race its readers. Compiled by race.py.

Steps    every word of step n is n, of a snapshot before step n too, so that a torn one shows by itself.
"""

from libc.stdint cimport int64_t

from cython_core.realtime.ring cimport RingReader, RingWriter, ring_push, ring_snapshot
from cython_core.structs cimport step_record_t

cdef enum:
    RECORD_WORDS = sizeof(step_record_t) // 8


def push(RingWriter ring, int64_t first, int64_t count, int64_t snapshot_every):
    """Steps first ... first + count - 1, and a state before each snapshot_every-th of them."""
    cdef step_record_t record
    cdef int64_t* words = <int64_t*> &record
    cdef int64_t n
    cdef int i
    with nogil:
        for n in range(first, first + count):
            for i in range(RECORD_WORDS):
                words[i] = n
            if n % snapshot_every == 0:
                ring_snapshot(&ring.ring, n, words, sizeof(step_record_t))
            ring_push(&ring.ring, &record)


def look_at(RingReader reader, RingWriter ring):
    """Let the reader look at the writer's own memory: a tool that knows addresses then sees both at the same words."""
    reader.ring.words = ring.ring.words

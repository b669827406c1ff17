# The fixed-step loop: absolute deadlines, skip and count, never catch up.

from libc.stdint cimport int64_t

from cython_core.compiled cimport settings_t
from cython_core.realtime.host cimport pthread_t
from cython_core.realtime.mailbox cimport mailbox_t
from cython_core.realtime.ring cimport RingWriter, ring_t
from cython_core.state cimport core_state_t
from cython_core.step cimport Core

cdef struct loop_t:
    int64_t period_ns
    int64_t snapshot_every       # steps
    int64_t stop                 # set from outside
    int64_t done                 # the thread has ended
    int64_t steps                # for whoever watches
    int64_t skipped
    int64_t lateness_max_ns
    mailbox_t* meter
    mailbox_t* device
    mailbox_t* order
    mailbox_t* command
    mailbox_t* wishes[8]            # NULL: nobody may wish there
    int64_t[11] seen             # meter, device, order, wishes
    ring_t* ring
    core_state_t* st
    const settings_t* cfg[2]     # in force is the one of `which`; the other may be written
    int64_t which                # set from outside

cdef class Loop:
    cdef loop_t loop
    cdef readonly Core core
    cdef settings_t other        # beside the core's own
    cdef int64_t changed         # steps that were taken when `which` last changed
    cdef RingWriter ring
    cdef object boxes            # keeps the mailboxes alive
    cdef pthread_t thread
    cdef bint running            # started, and not yet seen to have ended

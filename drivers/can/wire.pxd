# One raw CAN socket. See wire.pyx.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from drivers.can.frame cimport can_tables_t

cdef enum:
    MAX_IDS = 128                   # that the kernel lets through
    NAP_NS = 50000000               # the longest wait without a beat and a look at `stop`

cdef enum:                          # what was received
    NOTHING = 0
    TAKEN = 1                       # somebody's frame
    OWN = 2                         # ours, sent and acknowledged on the bus
    STATE = 3                       # an error frame: the controller's state
    GONE = 4                        # the interface is down or has vanished; the socket is closed

# Relaxed atomic words: the thread writes, anybody reads (statistics.py gives them their names).
cdef struct can_count_t:
    int64_t attempts
    int64_t answers
    int64_t timeouts
    int64_t bad_frames
    int64_t duplicates
    int64_t reordered
    int64_t unasked
    int64_t foreign
    int64_t error_frames
    int64_t bus_off
    int64_t restarts
    int64_t writes
    int64_t write_errors
    int64_t heartbeats
    int64_t refused
    int64_t expired
    int64_t changes
    int64_t last_errno
    int64_t t_success_ns

cdef struct can_wire_t:
    char[16] name
    int fd                          # -1: closed
    int off                         # the controller is bus-off
    int unconfirmed                 # frames given to the kernel and not yet seen on the bus
    int lost                        # 1: some were not in time, and no frame has been seen since
    int n_ids
    uint32_t[128] ids
    int64_t stop                    # atomic; set from outside: end every wait
    int64_t t_retry_ns              # not opened before
    int64_t t_sent_ns               # the newest frame given to the kernel
    int64_t t_own_ns                # the newest of ours seen on the bus
    int64_t beats
    int64_t connects                # opened, or back from bus-off: what was in force is not known any more
    int64_t connected
    can_count_t count

cdef struct heard_t:                # one frame
    uint32_t id
    int length
    uint64_t data
    int64_t t_ns

cdef void can_wire_init(can_wire_t* w, const char* name, const can_tables_t* t) noexcept nogil
# 1 when the socket is open; tries at most each tenth of a second.
cdef int can_open(can_wire_t* w) noexcept nogil
cdef void can_close(can_wire_t* w) noexcept nogil
cdef int can_receive(can_wire_t* w, heard_t* heard) noexcept nogil
# 1: given to the kernel; 0: not now (its queue is full, or the socket has been closed).
cdef int can_send(can_wire_t* w, uint32_t id, int length, uint64_t data) noexcept nogil
# Until a frame is there, or this moment; not longer than a nap.
cdef void can_wait(can_wire_t* w, int64_t until_ns) noexcept nogil

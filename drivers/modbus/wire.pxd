# One TCP connection to one Modbus device: one request in flight, one absolute deadline a try.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from drivers.modbus.frame cimport request_t

cdef enum:
    INPUT_BYTES = 520               # two whole frames: a late answer and the one that was asked for
    LATE_WINDOW = 8                 # an answer this few transactions old is late, an older one out of step
    SILENT_TRIES = 4                # time-outs in a row after which a connection counts as dead
    MAX_TURNS = 600                 # of the receive loop: a frame that comes byte by byte, twice
    NAP_NS = 50000000               # the longest wait without a beat and a look at `stop`

# Relaxed atomic words: the thread writes, anybody reads (statistics.py gives them their names).
cdef struct counters_t:
    int64_t beats                   # advance whatever the device does, at least each NAP_NS: a watchdog feeds on them
    int64_t attempts                # requests, also those without a connection to send them on
    int64_t answers                 # whole and right
    int64_t timeouts
    int64_t exceptions
    int64_t bad_frames
    int64_t late                    # answers after their deadline, dropped
    int64_t connects
    int64_t connected
    int64_t writes                  # set-points acknowledged
    int64_t write_errors
    int64_t refused                 # commands that are not finite or do not fit
    int64_t expired                 # commands older than their valid_ms
    int64_t last_turnaround_ns
    int64_t min_turnaround_ns
    int64_t sum_turnaround_ns
    int64_t last_error
    int64_t last_exception
    int64_t t_success_ns

cdef struct wire_t:
    int fd                          # -1: not connected
    uint32_t ip                     # network order
    uint16_t port
    int transaction                 # of the newest request
    int silent                      # time-outs since the last answer
    int n_in
    int64_t stop                    # atomic; set from outside: end every wait
    int64_t timeout_ns
    int64_t gap_ns                  # the device's rest between an answer and the next request
    int64_t t_free_ns               # before this it rests
    int64_t backoff_ns
    int64_t t_connect_ns            # no connect before
    int64_t t_answer_ns             # last byte of the newest answer
    counters_t count
    uint8_t[520] input
    uint8_t[260] output

cdef void count_up(int64_t* counter) noexcept nogil
cdef void wire_init(wire_t* w, uint32_t ip, int port, int64_t timeout_ns, int64_t gap_ns) noexcept nogil
cdef void wire_close(wire_t* w) noexcept nogil
# Sleep to this moment, with beats; not beyond stop.
cdef void wire_rest(wire_t* w, int64_t until_ns) noexcept nogil
# One try. OK: the frame stands in w.input and w.t_answer_ns is its last byte. words: for function 16.
cdef int wire_try(wire_t* w, const request_t* ask, const uint16_t* words) noexcept nogil
# A fault that another try may mend: all but an exception and a connection that is not there.
cdef bint wire_can_mend(int fault) noexcept nogil
# A try and one retry, unless w.stop. A write is not repeated on another connection: what has to precede it there is the
# caller's affair.
cdef int wire_ask(wire_t* w, const request_t* ask, const uint16_t* words) noexcept nogil
# The data bytes of a read that was OK.
cdef const uint8_t* wire_data(const wire_t* w) noexcept nogil

cdef uint32_t resolved(str host, int port) except? 0
cdef object stats_of(counters_t* c)

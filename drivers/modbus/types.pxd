# What a wire is: one TCP connection, UDP socket or serial line, one request in flight, one absolute deadline a try.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from drivers.modbus.posix cimport serial_rs485, termios

cdef enum:
    INPUT_BYTES = 520               # two whole frames: a late answer and the one that was asked for
    MAX_TURNS = 1200                # of the receive loop: a frame that comes byte by byte, twice, with its waits
    NAP_NS = 50000000               # the longest wait without a beat and a look at `stop`

cdef enum:                          # link_t.kind
    TCP = 0
    RTU = 1
    UDP = 2

cdef struct link_t:                 # where the wire leads; fixed before a thread starts
    int kind
    uint32_t ip                     # network order
    uint16_t port
    int has_rs485
    int64_t char_ns                 # of one character on a serial line
    int64_t silence_ns              # before each frame there
    termios line
    serial_rs485 rs485
    char[256] path

# Relaxed atomic words: the thread writes, anybody reads (statistics.py gives them their names).
cdef struct counters_t:             # of one device
    int64_t attempts                # requests, also those without a connection to send them on
    int64_t answers                 # whole and right
    int64_t timeouts
    int64_t exceptions
    int64_t bad_frames
    int64_t late                    # answers after their deadline, dropped
    int64_t writes                  # set-points acknowledged
    int64_t write_errors
    int64_t refused                 # commands that are not finite or do not fit
    int64_t expired                 # commands older than their valid_ms
    int64_t held                    # commands held back because the day's budget of writes is spent
    int64_t spent                   # set-points sent in the day that is under way
    int64_t t_day_ns                # when that day began
    int64_t changes                 # answers of the fast list that differ from the one before
    int64_t last_turnaround_ns
    int64_t min_turnaround_ns
    int64_t sum_turnaround_ns
    int64_t last_error
    int64_t last_exception
    int64_t t_success_ns

cdef struct wire_t:
    link_t link
    int fd                          # -1: not connected
    int transaction                 # of the newest request with an MBAP header
    int silent                      # time-outs since the last answer
    int n_in
    int64_t[256] late_until_ns      # on a serial line an answer of this unit may still come: it had a time-out
    int64_t stop                    # atomic; set from outside: end every wait
    int64_t timeout_ns
    int64_t gap_ns                  # the device's rest between an answer and the next request
    int64_t t_free_ns               # before this it rests
    int64_t backoff_ns
    int64_t t_connect_ns            # no connect before
    int64_t t_answer_ns             # last byte of the newest answer
    int64_t beats                   # advance whatever the devices do, at least each NAP_NS: a watchdog feeds on them
    int64_t connects
    int64_t connected
    counters_t* count               # of the device that is asked
    counters_t own                  # where `count` points while there is no device
    uint8_t[520] input
    uint8_t[260] output

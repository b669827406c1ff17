# A Plan as flat C tables of fixed size, and what they make of frames. Pure; no sockets, no time.
# Source of the bit order: the DBC format (CAN database), as cantools reads it; a test compares every field.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    MAX_FRAMES = 32                 # to take
    MAX_VALUES = 32
    MAX_FIELDS = 12                 # a DeviceState has fewer
    MAX_FLAGS = 64
    MAX_SENDS = 8                   # in each of start, setpoint, stop
    MAX_PUTS = 6                    # in one frame to send
    RECORD_WORDS = 16

cdef enum:                          # the KINDS of drivers.can.tables
    UNSIGNED = 0
    SIGNED = 1
    FLOAT = 2

cdef enum:                          # its SOURCES
    FROM_P = 0
    FROM_Q = 1
    FROM_ABS_P = 2
    FROM_A = 3
    FROM_ABS_A = 4
    FROM_DIRECTION = 5
    FROM_RUN = 6
    FROM_COUNTER = 7

cdef enum:                          # instead of the index of a frame
    UNKNOWN = -1
    WRONG_LENGTH = -2

cdef struct bits_t:
    int shift                       # of its lowest bit, once the bytes stand in the field's own order
    int length
    int motorola
    int kind

cdef struct frame_t:
    uint32_t id                     # with the flag of an extended one
    int length
    int carrier
    int every                       # 0: comes by itself
    int ack
    int has_counter
    bits_t counter
    uint64_t mask
    uint64_t equals
    int64_t timeout_ns
    int ask                         # its place in asks; -1: none

cdef struct value_t:
    int frame
    bits_t bits
    double factor
    double offset

cdef struct field_t:
    int first
    int second                      # -1: not a product
    int target
    int64_t valid
    double scale
    double low
    double high

cdef struct flag_t:
    int frame
    bits_t where
    uint64_t equals
    int target
    int set
    int64_t bits

cdef struct put_t:
    bits_t bits
    int source
    double scale
    double offset
    uint64_t low
    uint64_t high

cdef struct send_t:
    uint32_t id
    int length
    uint64_t data
    int n_puts
    put_t[6] puts

cdef struct sends_t:
    int n
    send_t[8] items

cdef struct answer_t:               # the newest frame of one kind
    int64_t have
    int64_t t_ns
    uint64_t data

cdef struct can_tables_t:
    int n_frames
    int n_values
    int n_fields
    int n_flags
    int n_words                     # of the record
    int valid                       # the word that holds the valid bits
    int v_dc                        # a value; -1: none
    double v_dc_low
    frame_t[32] frames
    send_t[32] asks
    value_t[32] values
    field_t[12] fields
    flag_t[64] flags
    int64_t[16] blank               # the record with nothing in it
    sends_t start
    sends_t setpoint
    sends_t stop
    sends_t heartbeat               # one, or none

cdef struct sources_t:              # what is put into frames
    double[5] numbers               # FROM_P ... FROM_ABS_A
    int direction                   # 1 discharging
    int run
    uint64_t counter

cdef uint64_t data_of(const uint8_t* bytes, int length) noexcept nogil
cdef void bytes_of(uint64_t data, uint8_t* bytes) noexcept nogil
cdef uint64_t raw_of(uint64_t data, const bits_t* bits) noexcept nogil
# Which frame this is; UNKNOWN, or WRONG_LENGTH for an identifier that has another one.
cdef int find_frame(const can_tables_t* t, uint32_t id, int length, uint64_t data) noexcept nogil
cdef double value_now(const can_tables_t* t, const answer_t* answers, int value) noexcept nogil
# The record from the newest frames; the times are not touched.
cdef void decode_record(const can_tables_t* t, const answer_t* answers, int64_t* record) noexcept nogil
# The bytes of a frame to send; 0: a number is not finite or does not fit, and nothing may be sent.
cdef int encode_send(const send_t* send, const sources_t* sources, uint64_t* data) noexcept nogil

# Signs of life, both ways: a count that we write once a second, and values of the device that must not stand still.

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from cython_core.structs cimport command_t
from drivers.modbus.tables cimport answer_t, writes_t

cdef enum:
    MAX_WATCHES = 4

cdef struct watch_t:
    int read
    int word
    int type
    int moves                       # 1: the value has to change; 0: it must not be 0 while set-points are acknowledged
    int target
    int64_t bits
    int64_t limit_ns
    uint64_t last
    int64_t t_alive_ns              # the newest answer in which it was as it has to be; 0: none yet

cdef struct heart_t:
    int n_watches
    watch_t[4] watches
    writes_t beat                   # none, or one write of two words: the count
    uint32_t count
    int64_t second                  # of the loop's own time, at the last beat

# OR the bits of every value that stands still into the record. is_told: set-points are acknowledged.
cdef void heart_judge(heart_t* h, const answer_t* answers, int is_told, int64_t* record) noexcept nogil
# 1 in the first look at a command that is valid now and of another second than the last beat.
cdef int heart_due(const heart_t* h, const command_t* command, int64_t now_ns) noexcept nogil
# Count on; the two words to write.
cdef void heart_beat(heart_t* h, const command_t* command, uint16_t* words) noexcept nogil

# What a bus thread does, and all it knows. One wire, one thread, one bus_t.

from libc.stdint cimport int64_t

from cython_core.realtime.mailbox cimport mailbox_t
from cython_core.structs cimport command_t
from drivers.modbus.setpoint cimport setpoint_t
from drivers.modbus.tables cimport answer_t, tables_t
from drivers.modbus.wire cimport wire_t

cdef enum:
    SLOW_MISSES = 3                 # failures in a row after which a slow read's last answer leaves the record

cdef enum:                          # bus_t.hand_back
    NOT_ASKED = 0
    ASKED = 1
    HANDED_BACK = 2
    FAILED = 3

cdef struct bus_t:
    wire_t wire
    tables_t tables
    setpoint_t setpoint
    answer_t[16] answers
    # which reads carry f, V, P of a Measurement; of a DeviceState [0] is the fast list
    int64_t[3] carriers
    int is_meter
    mailbox_t* out
    mailbox_t* command              # NULL: nothing is ever written
    command_t newest
    int64_t seen                    # of the command mailbox; 0: no command yet
    int64_t judged                  # the command that was counted as expired or refused
    int64_t period_ns               # 0: back to back
    int64_t t_due_ns                # of the next round of reads
    int64_t rounds                  # since the connection was made
    int64_t connects                # wire.count.connects that this state belongs to
    int64_t t_echo_ns
    int started                     # the start writes are done on this connection
    # shared with Python, atomic (and wire.stop)
    int64_t done
    int64_t hand_back

# One round of reads with its writes, and the wait for the next; or, when asked, the hand-back.
cdef void poller_turn(bus_t* b) noexcept nogil

# What a bus thread does, and all it knows. One wire, one thread, one bus_t; a device_t for each device on the wire.

from libc.stdint cimport int64_t

from cython_core.realtime.mailbox cimport mailbox_t
from cython_core.structs cimport command_t
from drivers.modbus.heart cimport heart_t
from drivers.modbus.setpoint cimport setpoint_t
from drivers.modbus.tables cimport answer_t, tables_t
from drivers.modbus.types cimport counters_t, wire_t

cdef enum:
    MAX_DEVICES = 16                # on one wire
    SLOW_MISSES = 3                 # failures in a row after which a slow read's last answer leaves the record
    SELDOM = 30                     # a read by its own clock that failed so often is asked so many times less
    DEAD_MISSES = 2                 # requests without an answer, with their retries, after which a device is dead
    DEAD_SHARE = 25                 # of the wire's time a dead device costs one part in so many

cdef enum:                          # device_t.hand_back
    NOT_ASKED = 0
    ASKED = 1
    HANDED_BACK = 2
    FAILED = 3

cdef struct device_t:
    tables_t tables
    setpoint_t setpoint
    heart_t heart
    answer_t[16] answers
    counters_t count
    # relaxed atomic, as the counters: the counters of energy (doubles, NaN: not read yet) and the time of their answer
    int64_t[4] energies
    int64_t t_energies_ns
    int64_t[16] t_asked_ns          # of the reads by their own clock
    # which reads carry f, V, P of a Measurement; of a DeviceState [0] is the fast list
    int64_t[3] carriers
    int is_meter
    mailbox_t* out
    mailbox_t* command              # NULL: nothing is ever written
    command_t newest
    int64_t seen                    # of the command mailbox; 0: no command yet
    int due                         # what the rules said to it at the last look
    int64_t judged                  # the command that was counted as expired, refused or held
    int64_t timeout_ns
    int64_t gap_ns
    int64_t quiet_ns                # the device's own timer, where reads feed it too; 0: only writes do
    int64_t period_ns               # of the poll grid; 0: as fast as the wire allows
    int64_t lead_ns                 # how long before a grid point a round has to begin, to be whole there
    int64_t t_due_ns
    int64_t rounds                  # polls so far on this connection: counts the `every` of the slow list
    int next_read                   # of the round under way; 0: none is
    int missed                      # requests without an answer since the last one
    int64_t connects                # connections seen
    int64_t started                 # the start writes were acknowledged, and no silence of ours came since
    int64_t told                    # a set-point was sent and the device not left alone since
    int64_t t_quiet_ns              # until then it is left alone; 0: it is not
    int64_t t_echo_ns
    int64_t hand_back               # atomic

cdef struct bus_t:
    wire_t wire
    int n_devices
    device_t* devices[16]
    int turn                        # whose write comes first
    int64_t done                    # atomic; the thread has ended

# One request (a read, and what may be written behind it), or the wait for the next one.
cdef void poller_turn(bus_t* b) noexcept nogil

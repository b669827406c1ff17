# What a CAN bus thread does, and all it knows. One interface, one thread, one device.

from libc.stdint cimport int64_t

from cython_core.realtime.mailbox cimport mailbox_t
from cython_core.structs cimport command_t
from drivers.can.frame cimport answer_t, can_tables_t, sources_t
from drivers.can.wire cimport can_wire_t
from drivers.modbus.setpoint cimport setpoint_t

cdef enum:
    STRAYS = 3                      # refused frames in a row after which the device has restarted

cdef enum:                          # can_device_t.job
    NO_JOB = 0
    WRITING = 1                     # start frames if they are due, then the set-point
    STOPPING = 2

cdef enum:                          # can_device_t.hand_back
    NOT_ASKED = 0
    ASKED = 1
    HANDED_BACK = 2
    FAILED = 3

cdef struct slot_t:                 # what is known of one kind of frame beside its newest answer
    int64_t counter                 # -1: none seen
    int64_t strays
    int64_t t_ask_ns                # 0: nobody waits for it
    int stale

cdef struct can_device_t:
    can_tables_t tables
    setpoint_t setpoint
    answer_t[32] answers
    slot_t[32] slots
    int readback                    # the frame that shows the set-point in force; -1: none does
    mailbox_t* out
    mailbox_t* command              # NULL: nothing is ever written
    command_t newest
    int64_t seen                    # of the command mailbox; 0: no command yet
    int64_t judged                  # the command that was counted as expired or refused
    int64_t gap_ns                  # the device's rest between two frames of ours
    int64_t t_free_ns               # before this it rests
    # asking
    int64_t period_ns               # of the poll grid
    int64_t lead_ns                 # how long before a grid point a round begins, to be whole there
    int64_t t_due_ns
    int64_t t_round_ns
    int64_t rounds
    int next_ask                    # of the round under way; n_frames: none is
    # writing
    int job
    int step                        # of the job, over start and set-point frames
    int awaiting                    # the job whose last frame is on its way to the bus
    command_t writing               # the command of that job
    sources_t sources
    int64_t started                 # the start frames have been seen on the bus
    int64_t connects                # connections seen
    int64_t t_echo_ns
    int64_t hand_back               # atomic
    int64_t t_stop_ns
    # the device's own timer
    int64_t silence_ns              # it has run out after so long without a frame that feeds it
    int fed_by_any                  # a question feeds it as well
    int64_t t_fed_ns                # 0: never, or over
    int64_t heartbeat_ns
    int64_t t_beat_ns

cdef struct can_bus_t:
    can_wire_t wire
    can_device_t device
    int64_t done                    # atomic; the thread has ended

# Take what has come, send at most one frame, wait for the next.
cdef void can_turn(can_bus_t* b) noexcept nogil

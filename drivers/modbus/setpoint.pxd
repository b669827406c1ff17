# When a set-point is written: the rules, with time as an argument. Pure.

from libc.stdint cimport int64_t

from cython_core.structs cimport command_t
from drivers.modbus.codes cimport Due

cdef struct setpoint_t:
    int64_t interval_ns             # between two writes
    int64_t refresh_ns              # an unchanged set-point is written again after this
    double quantum_p_w
    double quantum_q_var
    int64_t budget                  # writes in a day; 0: any number
    int64_t spent                   # of it, in the day that began at t_day_ns
    int64_t t_day_ns
    # what the device last acknowledged, and when it was last tried
    int64_t known                   # 0: nothing on this connection yet, or the last write failed
    int64_t mode
    double p_w
    double q_var
    int64_t t_ack_ns
    int64_t t_try_ns
    # since the last read
    int64_t written
    int64_t written_urgent

cdef int setpoint_due(const setpoint_t* s, const command_t* command, int64_t now_ns) noexcept nogil
cdef void setpoint_tried(setpoint_t* s, int due, int64_t now_ns) noexcept nogil     # a write was sent
cdef void setpoint_acknowledged(setpoint_t* s, const command_t* command, int64_t t_ack_ns) noexcept nogil
cdef void setpoint_read(setpoint_t* s) noexcept nogil       # a read came between
cdef void setpoint_forget(setpoint_t* s) noexcept nogil     # a new connection, or a write that failed

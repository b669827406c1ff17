"""A serial line (Modbus RTU): silence before each frame, an end known from the request, no answer taken for another.

End      the length of an answer follows from the request (5 characters for an exception): no silence has to be waited
         for, and the last byte's time is the answer's.
Garbage  bytes before the answer that are not its unit are skipped; after a wrong frame the line is read empty until it
         is silent, then asked again.
Late     RTU numbers no transactions. After a time-out, or noise in place of an answer, only the same question is asked
         at once, as its retry; before another question to that unit the line is listened to for one more time-out, and
         what comes is thrown away.
Source   Modbus over serial line v1.02, section 2.5.1.
"""

from libc.stdint cimport int64_t
from libc.string cimport memmove

from drivers.modbus cimport posix
from drivers.modbus.codes cimport Fault
from drivers.modbus.frame cimport MAX_RTU, request_t, rtu_check, rtu_size
from drivers.modbus.posix cimport now_ns
from drivers.modbus.types cimport INPUT_BYTES, wire_t
from drivers.modbus.waits cimport count_up, wait_for

from cython_core.realtime.mailbox cimport v2g_load


cdef int64_t rtu_wire_ns(const wire_t* w, int chars) noexcept nogil:
    return chars * w.link.char_ns


cdef int rtu_open(wire_t* w) noexcept nogil:
    """The settings are those with which pyserial opened the port the first time."""
    w.fd = posix.open(w.link.path, posix.O_RDWR | posix.O_NOCTTY | posix.O_NONBLOCK | posix.O_CLOEXEC)
    if w.fd < 0 or posix.flock(w.fd, posix.LOCK_EX | posix.LOCK_NB) != 0:
        return 0
    if posix.tcsetattr(w.fd, posix.TCSANOW, &w.link.line) != 0:
        return 0
    if w.link.has_rs485 and posix.ioctl(w.fd, posix.TIOCSRS485, &w.link.rs485) != 0:
        return 0
    return posix.tcflush(w.fd, posix.TCIOFLUSH) == 0


cdef int rtu_silence(wire_t* w, const request_t* ask, bint again) noexcept nogil:
    cdef int64_t now = now_ns()
    # not while a late answer could be taken for the one to this request
    cdef int64_t silent_ns = max(w.t_free_ns, 0 if again else w.late_until_ns[ask.unit])
    # whoever talks for longer than the longest frame lasts does not keep to the protocol
    cdef int64_t end_ns = max(silent_ns, now) + rtu_wire_ns(w, MAX_RTU) + 2 * w.link.silence_ns
    cdef ssize_t got
    while not v2g_load(&w.stop):
        got = posix.read(w.fd, w.input, INPUT_BYTES)
        if got == 0 or (got < 0 and posix.errno != posix.EAGAIN and posix.errno != posix.EINTR):
            return Fault.CLOSED
        now = now_ns()
        if got > 0:
            count_up(&w.count.late)
            w.t_free_ns = now + w.link.silence_ns
            silent_ns = max(silent_ns, w.t_free_ns)
        elif now >= silent_ns:
            return Fault.OK
        if now > end_ns:
            return Fault.NOISE
        wait_for(w, posix.POLLIN, silent_ns)
    return Fault.STOPPED


cdef int rtu_judge(wire_t* w, const request_t* ask) noexcept nogil:
    cdef int skip = 0
    cdef int size
    while skip < w.n_in and w.input[skip] != ask.unit:      # a transmitter that is switched on often rings
        skip += 1
    if skip:
        w.n_in -= skip
        memmove(w.input, w.input + skip, w.n_in)
    size = rtu_size(w.input, w.n_in, ask)
    if size < 0:
        return -size
    if size == 0 or w.n_in < size:
        return Fault.SHORT
    return rtu_check(w.input, size, ask)                    # what is behind it is noise: the next silence removes it

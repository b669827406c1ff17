"""One raw CAN socket that never blocks: kernel filters, error frames, our own frames handed back once they were sent.

Own      a frame of ours comes back when the controller has sent it and another node has acknowledged it. What has not
         come back is still in the queue: nobody piles more upon it.
Gone     an interface that is down or unplugged closes the socket; it is opened anew, with whatever number it has then.
Bus-off  is told by an error frame, and so is the restart (by the kernel after restart-ms, or by hand). A data frame is
         as good a sign. Until then nothing is sent.
Errors   values and counters.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset, strncpy

from cython_core.realtime.mailbox cimport v2g_load, v2g_store
from drivers.can.frame cimport bytes_of, can_tables_t, data_of, sends_t
from drivers.can.socketcan cimport (
    CAN_EFF_FLAG, CAN_EFF_MASK, CAN_ERR_BUSOFF, CAN_ERR_CRTL, CAN_ERR_FLAG, CAN_ERR_RESTARTED, CAN_ERR_TX_TIMEOUT,
    CAN_RAW, CAN_RAW_ERR_FILTER, CAN_RAW_FILTER, CAN_RAW_RECV_OWN_MSGS, CAN_RTR_FLAG, ENETDOWN, ENOBUFS, IFF_UP,
    MSG_CONFIRM, PF_CAN, SIOCGIFFLAGS, SIOCGIFINDEX, SOCK_RAW, SOL_CAN_RAW, bind, can_filter, can_frame, ifreq, iovec,
    msghdr, recvmsg, sockaddr_can,
)
from drivers.modbus cimport posix
from drivers.modbus.posix cimport now_ns
from drivers.modbus.waits cimport count_up

cdef int64_t RETRY_NS = 100000000


cdef void add_id(can_wire_t* w, uint32_t id) noexcept nogil:
    cdef int i
    for i in range(w.n_ids):
        if w.ids[i] == id:
            return
    if w.n_ids < MAX_IDS:                       # a plan has fewer (compiled.pyx)
        w.ids[w.n_ids] = id
        w.n_ids += 1


cdef void add_sends(can_wire_t* w, const sends_t* sends) noexcept nogil:
    cdef int i
    for i in range(sends.n):
        add_id(w, sends.items[i].id)


cdef void can_wire_init(can_wire_t* w, const char* name, const can_tables_t* t) noexcept nogil:
    """A wire that was never open. The kernel lets our own identifiers through as well: they come back once sent."""
    cdef int i
    memset(w, 0, sizeof(can_wire_t))
    strncpy(w.name, name, 15)
    w.fd = -1
    for i in range(t.n_frames):
        add_id(w, t.frames[i].id)
        if t.frames[i].ask >= 0:
            add_id(w, t.asks[t.frames[i].ask].id)
    add_sends(w, &t.start)
    add_sends(w, &t.setpoint)
    add_sends(w, &t.stop)
    add_sends(w, &t.heartbeat)


cdef void can_close(can_wire_t* w) noexcept nogil:
    if w.fd >= 0:
        posix.close(w.fd)
    w.fd = -1
    w.off = w.unconfirmed = w.lost = 0
    v2g_store(&w.connected, 0)


cdef int failed(can_wire_t* w) noexcept nogil:
    v2g_store(&w.count.last_errno, posix.errno)
    return 0


cdef int set_option(can_wire_t* w, int option, const void* value, unsigned int size) noexcept nogil:
    return 1 if posix.setsockopt(w.fd, SOL_CAN_RAW, option, value, size) == 0 else failed(w)


cdef int set_options(can_wire_t* w) noexcept nogil:
    cdef can_filter[128] wanted
    cdef uint32_t errors = CAN_ERR_BUSOFF | CAN_ERR_RESTARTED | CAN_ERR_CRTL | CAN_ERR_TX_TIMEOUT
    cdef int own = 1, i
    for i in range(w.n_ids):
        wanted[i].can_id = w.ids[i]
        wanted[i].can_mask = CAN_EFF_MASK | CAN_EFF_FLAG | CAN_RTR_FLAG
    return (set_option(w, CAN_RAW_FILTER, wanted, w.n_ids * sizeof(can_filter))
            and set_option(w, CAN_RAW_ERR_FILTER, &errors, sizeof(errors))
            and set_option(w, CAN_RAW_RECV_OWN_MSGS, &own, sizeof(own)))


cdef int bind_to_interface(can_wire_t* w) noexcept nogil:
    cdef ifreq ask
    cdef sockaddr_can to
    memset(&ask, 0, sizeof(ask))
    memcpy(ask.ifr_name, w.name, 16)
    if posix.ioctl(w.fd, SIOCGIFFLAGS, &ask) != 0:
        return failed(w)
    if not ask.ifr_flags & IFF_UP:
        v2g_store(&w.count.last_errno, ENETDOWN)
        return 0
    if posix.ioctl(w.fd, SIOCGIFINDEX, &ask) != 0:
        return failed(w)
    memset(&to, 0, sizeof(to))
    to.can_family = PF_CAN
    to.can_ifindex = ask.ifr_ifindex
    return 1 if bind(w.fd, <const posix.sockaddr*> &to, sizeof(to)) == 0 else failed(w)


cdef int can_open(can_wire_t* w) noexcept nogil:
    cdef int64_t now = now_ns()
    if w.fd >= 0:
        return 1
    if now < w.t_retry_ns:
        return 0
    w.t_retry_ns = now + RETRY_NS
    w.fd = posix.socket(PF_CAN, SOCK_RAW | posix.SOCK_NONBLOCK | posix.SOCK_CLOEXEC, CAN_RAW)
    if w.fd < 0:
        return failed(w)
    if not (set_options(w) and bind_to_interface(w)):
        can_close(w)
        return 0
    count_up(&w.connects)
    v2g_store(&w.connected, 1)
    return 1


cdef void back_on(can_wire_t* w) noexcept nogil:
    """The controller takes part in the bus again. What waited in the queue is gone or goes out now."""
    if not w.off:
        return
    w.off = w.unconfirmed = w.lost = 0
    count_up(&w.connects)
    v2g_store(&w.connected, 1)


cdef void take_state(can_wire_t* w, uint32_t id) noexcept nogil:
    count_up(&w.count.error_frames)
    if id & CAN_ERR_BUSOFF:
        count_up(&w.count.bus_off)
        w.off = 1
        v2g_store(&w.connected, 0)
    if id & CAN_ERR_RESTARTED:
        count_up(&w.count.restarts)
        back_on(w)


cdef int can_receive(can_wire_t* w, heard_t* heard) noexcept nogil:
    cdef can_frame frame
    cdef iovec part
    cdef msghdr message
    cdef ssize_t n
    memset(&message, 0, sizeof(message))
    part.iov_base, part.iov_len = &frame, sizeof(frame)
    message.msg_iov, message.msg_iovlen = &part, 1
    n = recvmsg(w.fd, &message, 0)
    if n < 0:
        if posix.errno == posix.EAGAIN or posix.errno == posix.EINTR or posix.errno == ENOBUFS:
            return NOTHING
        failed(w)
        can_close(w)
        return GONE
    if n != sizeof(frame):
        return NOTHING
    if frame.can_id & CAN_ERR_FLAG:
        take_state(w, frame.can_id)
        return STATE
    heard.id, heard.length = frame.can_id, frame.can_dlc
    heard.data = data_of(frame.data, frame.can_dlc)
    heard.t_ns = now_ns()
    w.lost = 0
    if message.msg_flags & MSG_CONFIRM:
        w.unconfirmed = max(w.unconfirmed - 1, 0)
        w.t_own_ns = heard.t_ns
        return OWN
    back_on(w)
    return TAKEN


cdef int can_send(can_wire_t* w, uint32_t id, int length, uint64_t data) noexcept nogil:
    cdef can_frame frame
    memset(&frame, 0, sizeof(frame))
    frame.can_id, frame.can_dlc = id, length
    bytes_of(data, frame.data)
    count_up(&w.count.attempts)
    if posix.write(w.fd, &frame, sizeof(frame)) == sizeof(frame):
        w.unconfirmed += 1
        w.t_sent_ns = now_ns()
        return 1
    failed(w)
    if posix.errno != posix.EAGAIN and posix.errno != posix.EINTR and posix.errno != ENOBUFS:
        can_close(w)
    return 0


cdef void can_wait(can_wire_t* w, int64_t until_ns) noexcept nogil:
    cdef posix.pollfd p
    cdef posix.timespec nap
    cdef int64_t left_ns = min(until_ns - now_ns(), NAP_NS)
    count_up(&w.beats)
    if left_ns <= 0 or v2g_load(&w.stop):
        return
    p.fd, p.events, p.revents = w.fd, posix.POLLIN, 0
    nap = posix.as_timespec(left_ns)
    posix.ppoll(&p, 1, &nap, NULL)          # a closed one (-1) is only a rest

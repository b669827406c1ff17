# The few POSIX calls of a bus thread, declared once. All nogil; no call here allocates or reaches the interpreter.

from libc.stdint cimport int64_t, uint16_t, uint32_t

cdef extern from "errno.h" nogil:
    int errno
    int EINPROGRESS, EAGAIN, EINTR

cdef extern from "time.h" nogil:
    ctypedef int clockid_t
    cdef struct timespec:
        long tv_sec
        long tv_nsec
    clockid_t CLOCK_MONOTONIC
    int TIMER_ABSTIME
    int clock_gettime(clockid_t clock, timespec* to)
    int clock_nanosleep(clockid_t clock, int flags, const timespec* until, timespec* left)

cdef extern from "poll.h" nogil:
    cdef struct pollfd:
        int fd
        short events
        short revents
    short POLLIN, POLLOUT
    int ppoll(pollfd* fds, unsigned long n, const timespec* wait, const void* signals)

cdef extern from "unistd.h" nogil:
    int close(int fd)
    ssize_t read(int fd, void* data, size_t n)
    ssize_t write(int fd, const void* data, size_t n)

cdef extern from "fcntl.h" nogil:
    int O_RDWR, O_NOCTTY, O_NONBLOCK, O_CLOEXEC
    int open(const char* path, int flags)

cdef extern from "sys/file.h" nogil:
    int LOCK_EX, LOCK_NB
    int flock(int fd, int how)

cdef extern from "termios.h" nogil:
    cdef struct termios:
        pass
    int TCSANOW, TCIOFLUSH
    int tcgetattr(int fd, termios* line)
    int tcsetattr(int fd, int when, const termios* line)
    int tcflush(int fd, int which)

cdef extern from "linux/serial.h" nogil:
    cdef struct serial_rs485:
        uint32_t flags

cdef extern from "sys/ioctl.h" nogil:
    unsigned long TIOCGRS485, TIOCSRS485
    int ioctl(int fd, unsigned long request, void* value)

cdef extern from "sys/socket.h" nogil:
    cdef struct sockaddr:
        pass
    int AF_INET, SOCK_STREAM, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_CLOEXEC, SOL_SOCKET, SO_ERROR, MSG_NOSIGNAL
    int socket(int family, int kind, int protocol)
    int connect(int fd, const sockaddr* to, unsigned int size)
    ssize_t send(int fd, const void* data, size_t n, int flags)
    ssize_t recv(int fd, void* data, size_t n, int flags)
    int setsockopt(int fd, int level, int name, const void* value, unsigned int size)
    int getsockopt(int fd, int level, int name, void* value, unsigned int* size)

cdef extern from "netinet/in.h" nogil:
    cdef struct in_addr:
        uint32_t s_addr
    cdef struct sockaddr_in:
        unsigned short sin_family
        uint16_t sin_port
        in_addr sin_addr
    int IPPROTO_TCP
    uint16_t htons(uint16_t port)

cdef extern from "netinet/tcp.h" nogil:
    int TCP_NODELAY

cdef extern from "sched.h" nogil:
    int CPU_SETSIZE


cdef inline int64_t now_ns() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <int64_t> t.tv_sec * 1000000000 + t.tv_nsec


cdef inline timespec as_timespec(int64_t ns) noexcept nogil:
    cdef timespec t
    t.tv_sec = ns // 1000000000
    t.tv_nsec = ns % 1000000000
    return t


cdef inline void sleep_until(int64_t t_ns) noexcept nogil:
    """Absolute, so a late start shortens the sleep. A signal may end it early: callers look at the clock again."""
    cdef timespec until = as_timespec(t_ns)
    if t_ns > 0:
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL)

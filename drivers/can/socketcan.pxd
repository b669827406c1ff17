# The few names of Linux's SocketCAN that a bus thread needs, declared once. All nogil.
# Source: Linux, Documentation/networking/can.rst.

from libc.stdint cimport uint8_t, uint32_t

from drivers.modbus.posix cimport sockaddr

cdef extern from "linux/can.h" nogil:
    cdef struct can_frame:
        uint32_t can_id
        uint8_t can_dlc
        uint8_t data[8]
    cdef struct can_filter:
        uint32_t can_id
        uint32_t can_mask
    cdef struct sockaddr_can:
        unsigned short can_family
        int can_ifindex
    uint32_t CAN_EFF_FLAG, CAN_RTR_FLAG, CAN_ERR_FLAG, CAN_EFF_MASK
    int CAN_RAW

cdef extern from "linux/can/raw.h" nogil:
    int SOL_CAN_RAW, CAN_RAW_FILTER, CAN_RAW_ERR_FILTER, CAN_RAW_RECV_OWN_MSGS

cdef extern from "linux/can/error.h" nogil:
    uint32_t CAN_ERR_BUSOFF, CAN_ERR_RESTARTED, CAN_ERR_CRTL, CAN_ERR_TX_TIMEOUT

cdef extern from "errno.h" nogil:
    int ENOBUFS, ENETDOWN

cdef extern from "net/if.h" nogil:
    cdef struct ifreq:
        char ifr_name[16]
        short ifr_flags
        int ifr_ifindex
    int IFF_UP

cdef extern from "sys/ioctl.h" nogil:
    unsigned long SIOCGIFFLAGS, SIOCGIFINDEX

cdef extern from "sys/socket.h" nogil:
    int PF_CAN, SOCK_RAW, MSG_CONFIRM
    cdef struct iovec:
        void* iov_base
        size_t iov_len
    cdef struct msghdr:
        iovec* msg_iov
        size_t msg_iovlen
        int msg_flags
    int bind(int fd, const sockaddr* to, unsigned int size)
    ssize_t recvmsg(int fd, msghdr* message, int flags)

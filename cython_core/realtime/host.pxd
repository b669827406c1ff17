# What the host grants a real-time thread. nogil: for the thread itself, 0 or an errno.

cdef int fifo_self(int priority) noexcept nogil
cdef int pin_self(int cpu) noexcept nogil

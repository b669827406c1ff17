# A thread that never touches the interpreter, and the rights the host grants it.

cdef extern from "<pthread.h>" nogil:
    ctypedef unsigned long pthread_t

ctypedef void* (*thread_body_t)(void*) noexcept nogil

# 0 or an errno. arg must outlive the thread.
cdef int thread_start(pthread_t* thread, thread_body_t body, void* arg, const char* name) noexcept
# Ask for SCHED_FIFO (priority 0: not) and a processor (-1: any); the answer in words.
cdef str thread_rights(pthread_t thread, int priority, int cpu)
cdef void thread_join(pthread_t thread) noexcept

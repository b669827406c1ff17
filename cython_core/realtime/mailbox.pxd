# A mailbox holds one value of up to 61 words: one writer, any number of readers, the latest value wins.
#
# Words move as relaxed atomics between an odd and an even sequence (a seqlock): a torn read is seen and tried again,
# at most TRIES times, so that a reader of high priority never spins on a pre-empted writer; after that it keeps its
# last copy and that copy's age grows. Works between threads and, in shared memory, between processes.
# A writer that died in the middle leaves an odd sequence: nobody reads that half. The next put() of its successor makes
# it even again, with a whole value; attaching alone publishes nothing.
# Who has nothing else to do may sleep until the next value (Linux: futex(2)); the writer makes that system call only
# when somebody sleeps.

from libc.stdint cimport int64_t, uint64_t

cdef extern from *:
    """
    #include <stdint.h>
    #define v2g_load(p) __atomic_load_n((p), __ATOMIC_RELAXED)
    #define v2g_load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
    #define v2g_store(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
    #define v2g_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
    #define v2g_fence_acquire() __atomic_thread_fence(__ATOMIC_ACQUIRE)
    #define v2g_fence_release() __atomic_thread_fence(__ATOMIC_RELEASE)
    #define v2g_fence() __atomic_thread_fence(__ATOMIC_SEQ_CST)
    """
    int64_t v2g_load(const int64_t* p) noexcept nogil
    int64_t v2g_load_acquire(const int64_t* p) noexcept nogil
    void v2g_store(int64_t* p, int64_t v) noexcept nogil
    void v2g_store_release(int64_t* p, int64_t v) noexcept nogil
    void v2g_fence_acquire() noexcept nogil
    void v2g_fence_release() noexcept nogil
    void v2g_fence() noexcept nogil

cdef enum:
    MAILBOX_WORDS = 61
    TRIES = 64

cdef struct mailbox_t:
    int64_t seq                     # even: whole; odd: being written; 0: never written
    int64_t n_words
    int64_t sleepers                # 1: somebody may be waiting
    int64_t words[61]

cdef void mailbox_attach(mailbox_t* box, int n_words) noexcept nogil
# n_bytes is the size of the caller's own struct, whatever the box says: others may write it. A value of another size,
# that is of another build, is never given.
cdef void mailbox_put(mailbox_t* box, const void* value, int n_bytes) noexcept nogil
# 1 and a copy when a newer value than *seen stands there, 0 (and no change of *value) when not or on failure
cdef int mailbox_get(mailbox_t* box, void* value, int n_bytes, int64_t* seen) noexcept nogil
# Sleep until there is a newer value than `seen`, but not beyond this moment; may return early. One sleeper a box.
cdef void mailbox_wait(mailbox_t* box, int64_t seen, int64_t until_ns) noexcept nogil


cdef class Box:
    cdef mailbox_t* box
    cdef object buffer              # keeps shared memory alive; None when the memory is our own
    cdef mailbox_t own
    cdef readonly int n_words


cdef class Mailbox(Box):
    cdef readonly object record
    cdef object packer
    cdef int64_t seen

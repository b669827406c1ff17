"""The ring between the core and everything downstream. See ring.pxd for the file and its rules.

Errors   RingWriter: OSError when the folder cannot hold the file. RingReader: FileNotFoundError, or ValueError when the
         file is not a ring, is newer, or is of another build's layout.
"""

import mmap
import os

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t

from cython_core.realtime.mailbox cimport (
    v2g_fence_acquire,
    v2g_fence_release,
    v2g_load,
    v2g_load_acquire,
    v2g_store,
    v2g_store_release,
)

cdef enum:
    RECORD_WORDS = sizeof(step_record_t) // 8
    SLOT_WORDS = sizeof(step_record_t) // 8 + 1

cdef int64_t MAGIC = 0x31474E4952473256                 # "V2GRING1", little-endian


cdef inline int64_t* slot_of(const ring_t* ring, int64_t n) noexcept nogil:
    return ring.words + SLOTS_AT // 8 + (n & (ring.n_slots - 1)) * SLOT_WORDS


cdef void copy_in(int64_t* target, const int64_t* source, int64_t n_words) noexcept nogil:
    cdef int64_t i
    for i in range(n_words):
        v2g_store(&target[i], source[i])


cdef void copy_out(int64_t* target, const int64_t* source, int64_t n_words) noexcept nogil:
    cdef int64_t i
    for i in range(n_words):
        target[i] = v2g_load(&source[i])


cdef void ring_push(ring_t* ring, const step_record_t* record) noexcept nogil:
    cdef int64_t* slot = slot_of(ring, record.n)
    v2g_store(&slot[0], -(record.n + 1))
    v2g_fence_release()
    copy_in(&slot[1], <const int64_t*> record, RECORD_WORDS)
    v2g_store_release(&slot[0], record.n + 1)
    v2g_store_release(&ring.words[H_HEAD], record.n + 1)


cdef void ring_snapshot(ring_t* ring, int64_t n, const void* state, int64_t n_bytes) noexcept nogil:
    cdef int64_t seq = v2g_load(&ring.words[H_SNAPSHOT_SEQ]) | 1
    v2g_store(&ring.words[H_SNAPSHOT_SEQ], seq)
    v2g_fence_release()
    v2g_store(&ring.words[H_SNAPSHOT_N], n)
    v2g_store(&ring.words[H_SNAPSHOT_BYTES], n_bytes)
    copy_in(ring.words + SNAPSHOT_AT // 8, <const int64_t*> state, n_bytes // 8)
    v2g_store_release(&ring.words[H_SNAPSHOT_SEQ], seq + 1)


cdef int copy_slot(const ring_t* ring, int64_t n, int64_t* target) noexcept nogil:
    """1 and step n at target; 0 when it has been overwritten."""
    cdef const int64_t* slot = slot_of(ring, n)
    if v2g_load_acquire(&slot[0]) != n + 1:
        return 0
    copy_out(target, &slot[1], RECORD_WORDS)
    v2g_fence_acquire()
    return v2g_load(&slot[0]) == n + 1


cdef int copy_newest(const ring_t* ring, step_record_t* target) noexcept nogil:
    """1 and the newest step at target; 0 when there is none or it has just been overwritten."""
    cdef int64_t head = v2g_load_acquire(&ring.words[H_HEAD])
    return head > 0 and copy_slot(ring, head - 1, <int64_t*> target)


cdef bytes as_json(info):
    import json
    return json.dumps(info).encode()


cdef int64_t* address_of(object buffer, int flags) except NULL:
    cdef Py_buffer view
    PyObject_GetBuffer(buffer, &view, flags)
    address = <size_t> view.buf
    PyBuffer_Release(&view)
    return <int64_t*> <size_t> address


cdef class Newest:
    """Of the newest step what its process itself looks at; the names are those of StepRecord."""
    cdef readonly int64_t reasons, o_stop, mode, fresh_d
    cdef readonly double p_cmd_w, d_p_w


cdef class RingWriter:
    """Creates the file beside `path`; publish() moves it there, whole. Readers of an older ring keep theirs.

    depth_s: at least this many seconds fit. info: JSON-able facts of this run; info["epoch"]: the number that names it.
    """

    def __init__(self, path, info, int64_t period_ns, double depth_s=60.0, bint publish=True):
        from cython_core.records import layout_hash
        cdef int64_t n_slots = 1 << (int(depth_s * 1e9 / period_ns) - 1).bit_length()
        self.path = os.fspath(path)
        with open(self.path + ".new", "w+b") as file:
            # a full disk says so here, not as a signal in the loop
            os.posix_fallocate(file.fileno(), 0, SLOTS_AT + n_slots * SLOT_WORDS * 8)
        self.take()
        self.ring.words[H_VERSION] = RING_VERSION
        self.ring.words[H_LAYOUT] = layout_hash()
        self.ring.words[H_EPOCH] = self.epoch = info["epoch"]
        self.ring.words[H_SLOTS] = self.ring.n_slots = n_slots
        self.ring.words[H_MAGIC] = MAGIC
        if publish:
            self.publish(info)

    @staticmethod
    def created(path):
        """The ring that another program image of this process has created and not yet published."""
        cdef RingWriter ring = RingWriter.__new__(RingWriter)
        ring.path = os.fspath(path)
        ring.take()
        if ring.ring.words[H_MAGIC] != MAGIC:
            raise ValueError(f"{ring.path}.new: is no ring of step records")
        ring.epoch = ring.ring.words[H_EPOCH]
        ring.ring.n_slots = ring.ring.words[H_SLOTS]
        return ring

    cdef int take(self) except -1:
        """Map the new file and touch every page before the first step."""
        with open(self.path + ".new", "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 0)
        self.ring.words = address_of(self.map, PyBUF_WRITABLE)
        for i in range(0, len(self.map), 4096):
            self.map[i] = self.map[i]
        return 0

    def publish(self, info):
        """Write the facts (or their JSON as bytes), then move the file to its place. Steps may have been pushed."""
        text = info if isinstance(info, bytes) else as_json(info)
        if len(text) > SNAPSHOT_AT - INFO_AT:
            raise ValueError(f"info of {len(text)} bytes; a ring holds {SNAPSHOT_AT - INFO_AT}")
        self.map[INFO_AT:INFO_AT + len(text)] = text
        self.ring.words[H_INFO_BYTES] = len(text)
        os.replace(self.path + ".new", self.path)

    def newest(self):
        """A Newest, or None when there is none or it is just being written."""
        cdef step_record_t record
        cdef Newest found = Newest()
        if not copy_newest(&self.ring, &record):
            return None
        found.reasons, found.o_stop, found.mode = record.reasons, record.o_stop, record.mode
        found.fresh_d = record.fresh_d
        found.p_cmd_w, found.d_p_w = record.p_cmd_w, record.d_p_w
        return found

    def push(self, record):
        """One raw step record, for tests and tools."""
        cdef bytes raw = bytes(record)
        if len(raw) != sizeof(step_record_t):
            raise ValueError(f"a record has {sizeof(step_record_t)} bytes, not {len(raw)}")
        ring_push(&self.ring, <const step_record_t*> <const char*> raw)

    def snapshot(self, int64_t n, bytes state):
        """The core's state before step n, for tests and tools."""
        if len(state) > SLOTS_AT - SNAPSHOT_AT:
            raise ValueError(f"a state of {len(state)} bytes; a ring holds {SLOTS_AT - SNAPSHOT_AT}")
        ring_snapshot(&self.ring, n, <const char*> state, len(state))


cdef class RingReader:
    """One reader of a ring. It starts at the oldest step that is still there, or at start_n."""

    def __init__(self, path, int64_t start_n=0):
        import json
        self.path = os.fspath(path)
        with open(self.path, "rb") as file:
            stat = os.fstat(file.fileno())
            if stat.st_size < SLOTS_AT:
                raise ValueError(f"{self.path}: {stat.st_size} bytes are no ring")
            self.map = mmap.mmap(file.fileno(), stat.st_size, access=mmap.ACCESS_READ)
        self.inode = stat.st_ino
        self.ring.words = address_of(self.map, PyBUF_SIMPLE)
        self._check_header(stat.st_size)
        words = self.ring.words
        self.ring.n_slots = words[H_SLOTS]
        self.epoch = words[H_EPOCH]
        try:
            self.info = json.loads(self.map[INFO_AT:INFO_AT + words[H_INFO_BYTES]])
        except ValueError as error:
            raise ValueError(f"{self.path}: its facts are not JSON ({error})") from None
        self.next_n = start_n

    def _check_header(self, int64_t n_bytes):
        from cython_core.records import layout_hash
        words = self.ring.words
        slots = words[H_SLOTS]
        if words[H_MAGIC] != MAGIC:
            raise ValueError(f"{self.path}: is no ring of step records")
        if words[H_VERSION] != RING_VERSION:
            raise ValueError(f"{self.path}: ring version {words[H_VERSION]}; this program reads {RING_VERSION}")
        if words[H_LAYOUT] != layout_hash():
            layouts = f"record layout {words[H_LAYOUT]:#x}, here {layout_hash():#x}"
            raise ValueError(f"{self.path}: written by another build ({layouts})")
        if slots < 1 or slots & (slots - 1) or slots > (n_bytes - SLOTS_AT) // (SLOT_WORDS * 8):
            raise ValueError(f"{self.path}: {n_bytes} bytes do not hold its {slots} slots; it has been cut off")

    @property
    def head(self):
        """Steps written so far."""
        return v2g_load_acquire(&self.ring.words[H_HEAD])

    def read(self, int64_t most=4096):
        """(raw step records end to end, number of steps lost before the first of them)."""
        cdef int64_t head = v2g_load_acquire(&self.ring.words[H_HEAD])
        cdef int64_t start = self.next_n
        cdef int64_t first = max(start, head - self.ring.n_slots)
        cdef int64_t count = max(0, min(most, head - first))
        cdef bytearray out = bytearray(count * sizeof(step_record_t))
        cdef int64_t* target = <int64_t*> <char*> out
        cdef int64_t done = 0
        with nogil:
            while done < count:
                if copy_slot(&self.ring, first + done, target + done * RECORD_WORDS):
                    done += 1
                elif done:                              # the writer has caught up with us: what we have is whole
                    break
                else:                                   # overwritten before the first copy: begin later
                    first += 1
                    count -= 1
        self.next_n = max(first + done, start)
        return bytes(out[:done * sizeof(step_record_t)]), max(0, first - start)

    def newest(self):
        """The newest raw step record, or None."""
        cdef step_record_t record
        if not copy_newest(&self.ring, &record):
            return None
        return (<const char*> &record)[:sizeof(step_record_t)]

    def snapshot(self):
        """(n, the core's state before step n), or None when there is none or it is just being written."""
        cdef int64_t* words = self.ring.words
        cdef int64_t seq = v2g_load_acquire(&words[H_SNAPSHOT_SEQ])
        if seq == 0 or seq & 1:
            return None
        cdef int64_t n = v2g_load(&words[H_SNAPSHOT_N])
        cdef int64_t size = min(max(v2g_load(&words[H_SNAPSHOT_BYTES]), 0), SLOTS_AT - SNAPSHOT_AT)
        cdef bytearray state = bytearray(size)
        copy_out(<int64_t*> <char*> state, words + SNAPSHOT_AT // 8, size // 8)
        v2g_fence_acquire()
        return (n, bytes(state)) if v2g_load(&words[H_SNAPSHOT_SEQ]) == seq else None

    def replaced(self):
        """True when a restarted core has put a new ring at the path: read this one to its end, then open anew."""
        try:
            return os.stat(self.path).st_ino != self.inode
        except FileNotFoundError:
            return False

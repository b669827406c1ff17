"""Columns of records as bytes: small when they are quiet, and quickly records again. Pure.

pack()     records, words of 64 bits -> bytes, to be compressed. unpack() gives them back; words not packed are 0.
Layout     of each column its first word and its first difference; of each a byte that names its planes; the planes.
           A plane is one byte of each further row: of the distance of that row's difference from the first one, zigzag
           (0, -1, 1, -2 ... -> 0, 1, 2, 3 ...). A plane of zeros is left out, so that a column of even steps has none.
Errors     ValueError: no row, more than MOST columns, or bytes that are not what pack() made of such columns.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy, memset

cdef enum:
    MOST = 128                  # columns
    HEAD = 17                   # bytes a column without a plane


cdef inline uint64_t zigzag(uint64_t x) noexcept nogil:
    return (x << 1) ^ <uint64_t> (<int64_t> x >> 63)


cdef inline uint64_t unzigzag(uint64_t z) noexcept nogil:
    return (z >> 1) ^ (0 - (z & 1))


cdef Py_ssize_t pack_column(const uint64_t* first, Py_ssize_t row_words, Py_ssize_t count, unsigned char* head,
                            unsigned char* planes_byte, unsigned char* planes) noexcept nogil:
    """Bytes written to planes."""
    cdef uint64_t slope = first[row_words] - first[0] if count > 1 else 0
    cdef uint64_t seen = 0, before = first[0]
    cdef Py_ssize_t i, byte, n = 0
    memcpy(head, first, 8)
    memcpy(head + 8, &slope, 8)
    for i in range(1, count):
        seen |= zigzag(first[i * row_words] - before - slope)
        before = first[i * row_words]
    planes_byte[0] = 0
    for byte in range(8):
        if (seen >> (8 * byte)) & 0xff == 0:
            continue
        planes_byte[0] |= 1 << byte
        before = first[0]
        for i in range(1, count):
            planes[n] = (zigzag(first[i * row_words] - before - slope) >> (8 * byte)) & 0xff
            before = first[i * row_words]
            n += 1
    return n


cdef void unpack_rows(const unsigned char* packed, const int64_t* at, Py_ssize_t columns, Py_ssize_t n_planes,
                      uint64_t* rows, Py_ssize_t row_words, Py_ssize_t count) noexcept nogil:
    """Row by row, so that what is written stays in the cache."""
    cdef uint64_t word[MOST]
    cdef uint64_t slope[MOST]
    cdef int shift[8 * MOST]
    cdef int ends[8 * MOST]     # the column whose last plane this is, or -1
    cdef const unsigned char* plane = packed + HEAD * columns
    cdef uint64_t z = 0
    cdef Py_ssize_t i, c, byte, p = 0
    for c in range(columns):
        memcpy(&word[c], packed + 16 * c, 8)
        memcpy(&slope[c], packed + 16 * c + 8, 8)
        for byte in range(8):
            if packed[16 * columns + c] >> byte & 1:
                shift[p] = 8 * byte
                ends[p] = -1
                p += 1
        if packed[16 * columns + c]:
            ends[p - 1] = c
    for i in range(count):
        for c in range(columns):
            rows[i * row_words + at[c]] = word[c]
            word[c] += slope[c]
        if i == count - 1:
            break
        for p in range(n_planes):
            z |= <uint64_t> plane[p * (count - 1) + i] << shift[p]
            if ends[p] >= 0:
                word[ends[p]] += unzigzag(z)
                z = 0


cdef Py_ssize_t rows_of(Py_ssize_t n_bytes, Py_ssize_t row_words, const int64_t[::1] at) except -1:
    """Rows in so many bytes; ValueError when the columns do not fit into a row."""
    cdef Py_ssize_t i
    if at.shape[0] > MOST:
        raise ValueError(f"{at.shape[0]} columns; {MOST} at most")
    for i in range(at.shape[0]):
        if not 0 <= at[i] < row_words:
            raise ValueError(f"a column at word {at[i]} of rows of {row_words}")
    if n_bytes <= 0 or n_bytes % (8 * row_words):
        raise ValueError(f"{n_bytes} bytes are not whole rows of {row_words} words")
    return n_bytes // (8 * row_words)


def pack(const unsigned char[::1] rows, const int64_t[::1] at, Py_ssize_t row_words):
    """Rows end to end -> the columns at these words of a row."""
    cdef Py_ssize_t count = rows_of(rows.shape[0], row_words, at)
    cdef Py_ssize_t columns = at.shape[0]
    cdef bytearray out = PyByteArray_FromStringAndSize(NULL, columns * (HEAD + 8 * (count - 1)))
    cdef unsigned char* packed = <unsigned char*> PyByteArray_AS_STRING(out)
    cdef Py_ssize_t c, n = HEAD * columns
    for c in range(columns):
        n += pack_column(<const uint64_t*> &rows[8 * at[c]], row_words, count, packed + 16 * c,
                         packed + 16 * columns + c, packed + n)
    return bytes(out[:n])


def unpack(const unsigned char[::1] packed, const int64_t[::1] at, Py_ssize_t row_words, Py_ssize_t count):
    """What pack() made -> count rows, as bytearray."""
    cdef Py_ssize_t n_bytes = 8 * row_words * count
    cdef Py_ssize_t columns = at.shape[0]
    cdef Py_ssize_t c, byte, n_planes = 0
    cdef bytearray out
    rows_of(n_bytes, row_words, at)
    if packed.shape[0] >= HEAD * columns:
        for c in range(columns):
            for byte in range(8):
                n_planes += packed[16 * columns + c] >> byte & 1
    if packed.shape[0] != HEAD * columns + n_planes * (count - 1):
        raise ValueError(f"{packed.shape[0]} bytes are not {count} rows of {columns} columns")
    out = PyByteArray_FromStringAndSize(NULL, n_bytes)
    memset(PyByteArray_AS_STRING(out), 0, n_bytes)
    if columns:
        unpack_rows(&packed[0], &at[0], columns, n_planes, <uint64_t*> PyByteArray_AS_STRING(out), row_words, count)
    return out

"""Bytes -> tables that drivers.can.compiled would let pass, frames for them, and what must hold of every answer.

Oracle   a field read bit by bit, from the DBC format's own rule: an Intel field goes up from its lowest bit; a Motorola
         field goes down from its highest one, in byte order. What is rounded must come back to half a raw number.
Input    a stream of choices, then the frames; where it ends zeros follow. A broken claim ends the process.
"""

from libc.math cimport fabs, isfinite, isnan, nearbyint
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport abort
from libc.string cimport memcpy, memset

from drivers.can.frame cimport (
    FLOAT, FROM_COUNTER, FROM_DIRECTION, SIGNED, UNKNOWN, WRONG_LENGTH, answer_t, bits_t, can_tables_t, data_of,
    decode_record, encode_send, find_frame, raw_of, send_t, sources_t,
)

cdef enum:
    N_WORDS = 13                    # of a DeviceState
    VALID = 2
    FIRST_QUANTITY = 3
    WHOLE = 1                       # a word of flags

cdef int64_t CANARY = 0x5A5A5A5A5A5A5A5A

cdef struct stream_t:
    const uint8_t* at
    size_t left

cdef struct placed_t:               # a field as a DBC tells of it
    int first                       # bits before it, in its own order
    bits_t bits


cdef void claim(bint holds) noexcept nogil:
    if not holds:
        abort()


cdef int byte(stream_t* s) noexcept nogil:
    cdef int found = 0
    if s.left:
        found = s.at[0]
        s.at += 1
        s.left -= 1
    return found


cdef uint64_t word(stream_t* s) noexcept nogil:
    cdef uint64_t found = 0
    cdef int _i
    for _i in range(8):
        found = (found << 8) | <uint64_t> byte(s)
    return found


cdef double any_double(stream_t* s) noexcept nogil:
    cdef uint64_t raw = word(s)
    cdef double value
    memcpy(&value, &raw, 8)
    return value


cdef double setting(stream_t* s, double otherwise) noexcept nogil:
    """Of a plan: finite and not 0, or it would have been refused."""
    cdef double value = any_double(s) if byte(s) & 1 else <double> (byte(s) - 128) / 16.0
    return value if isfinite(value) and value != 0.0 else otherwise


cdef placed_t place(stream_t* s, int n_bytes) noexcept nogil:
    """A field anywhere inside so many bytes, at least one."""
    cdef placed_t p
    cdef int kind = byte(s) % 3
    cdef int most = 8 * n_bytes
    if kind == FLOAT and most >= 32:
        p.bits.length = 64 if most == 64 and byte(s) & 1 else 32
    else:
        kind = min(kind, SIGNED)
        p.bits.length = 1 + byte(s) % most
    p.bits.kind = kind
    p.bits.motorola = byte(s) & 1
    p.first = byte(s) % (most - p.bits.length + 1)
    p.bits.shift = 64 - p.first - p.bits.length if p.bits.motorola else p.first
    return p


cdef uint64_t by_definition(const uint8_t* bytes, const placed_t* p) noexcept nogil:
    """The field's raw number, bit by bit."""
    cdef uint64_t raw = 0
    cdef int i, at
    for i in range(p.bits.length):
        if p.bits.motorola:                         # highest bit first; bit 7 of a byte is its first
            at = p.first + i
            raw = (raw << 1) | ((bytes[at // 8] >> (7 - at % 8)) & 1)
        else:
            at = p.first + i
            raw |= <uint64_t> ((bytes[at // 8] >> (at % 8)) & 1) << i
    return raw


cdef uint64_t of_length(uint64_t value, int n_bytes) noexcept nogil:
    return value & (<uint64_t> 0xFFFFFFFFFFFFFFFF >> (64 - 8 * n_bytes)) if n_bytes else 0


# --- taking ----------------------------------------------------------------------------------------------------------

cdef void fill_frames(can_tables_t* t, stream_t* s) noexcept nogil:
    """Few identifiers, so that several frames share one: then they have one length, as a plan must."""
    cdef int i, k
    t.n_frames = 1 + byte(s) % 4
    for i in range(t.n_frames):
        t.frames[i].id = 0x100 + byte(s) % 3
        t.frames[i].length = 1 + byte(s) % 8
        for k in range(i):
            if t.frames[k].id == t.frames[i].id:
                t.frames[i].length = t.frames[k].length
        t.frames[i].mask = of_length(word(s), t.frames[i].length) if byte(s) & 1 else 0
        t.frames[i].equals = t.frames[i].mask & word(s)


cdef void fill_values(can_tables_t* t, stream_t* s, placed_t* places) noexcept nogil:
    cdef int i
    cdef double one, other
    t.n_values = 1 + byte(s) % 8
    for i in range(t.n_values):
        t.values[i].frame = byte(s) % t.n_frames
        places[i] = place(s, t.frames[t.values[i].frame].length)
        t.values[i].bits = places[i].bits
        t.values[i].factor = setting(s, 1.0)
        t.values[i].offset = setting(s, 0.0)
    t.n_fields = 1 + byte(s) % (N_WORDS - FIRST_QUANTITY)
    for i in range(t.n_fields):
        t.fields[i].first = byte(s) % t.n_values
        t.fields[i].second = byte(s) % (t.n_values + 1) - 1
        t.fields[i].target = FIRST_QUANTITY + i
        t.fields[i].valid = <int64_t> 1 << i
        t.fields[i].scale = setting(s, 1.0)
        one, other = setting(s, -1e6), setting(s, 1e6)
        t.fields[i].low, t.fields[i].high = min(one, other), max(one, other)


cdef void fill_flags(can_tables_t* t, stream_t* s) noexcept nogil:
    cdef int i
    t.n_flags = byte(s) % 4
    for i in range(t.n_flags):
        t.flags[i].frame = byte(s) % t.n_frames
        t.flags[i].where = place(s, t.frames[t.flags[i].frame].length).bits
        t.flags[i].equals = word(s) >> (64 - t.flags[i].where.length)
        t.flags[i].target, t.flags[i].set, t.flags[i].bits = WHOLE, byte(s) & 1, byte(s)


cdef void fill_blank(can_tables_t* t) noexcept nogil:
    cdef double nan = float_nan()
    cdef int i
    t.n_words, t.valid = N_WORDS, VALID
    for i in range(FIRST_QUANTITY, N_WORDS):
        memcpy(&t.blank[i], &nan, 8)


cdef double float_nan() noexcept nogil:
    cdef uint64_t raw = 0x7FF8000000000000
    cdef double value
    memcpy(&value, &raw, 8)
    return value


cdef void take(const can_tables_t* t, stream_t* s, answer_t* answers, uint8_t* raws) noexcept nogil:
    """Frames as they may come: any identifier and length; each goes where find_frame says."""
    cdef uint8_t[8] bytes
    cdef uint64_t data
    cdef int i, id, length, found, same
    while s.left:
        id, length = 0x100 + byte(s) % 4, byte(s) % 9
        memset(bytes, 0, 8)
        for i in range(length):
            bytes[i] = byte(s)
        data = data_of(bytes, length)
        found = find_frame(t, id, length, data)
        same = 0
        for i in range(t.n_frames):
            same += <uint64_t> id == t.frames[i].id
        claim(UNKNOWN >= found >= WRONG_LENGTH or 0 <= found < t.n_frames)
        claim(same > 0 if found == WRONG_LENGTH else 1)
        if found >= 0:
            claim(t.frames[found].id == <uint64_t> id and t.frames[found].length == length)
            claim((data & t.frames[found].mask) == t.frames[found].equals)
            answers[found].have, answers[found].data = 1, data
            memcpy(raws + 8 * found, bytes, 8)


cdef void record_is_right(const can_tables_t* t, const int64_t* record) noexcept nogil:
    """A quantity is inside its range and valid, or NaN and not; nothing else is touched."""
    cdef double value
    cdef int i
    for i in range(N_WORDS - FIRST_QUANTITY):
        memcpy(&value, &record[FIRST_QUANTITY + i], 8)
        if record[VALID] >> i & 1:
            claim(i < t.n_fields and isfinite(value) and t.fields[i].low <= value <= t.fields[i].high)
        else:
            claim(isnan(value))
    claim(record[VALID] >> t.n_fields == 0 and record[0] == 0)
    for i in range(N_WORDS, 16):
        claim(record[i] == CANARY)


cdef int decode(const uint8_t* data, size_t size, int wrong) noexcept nogil:
    cdef stream_t s
    cdef can_tables_t t
    cdef placed_t[8] places
    cdef answer_t[32] answers
    cdef uint8_t[32] raws                           # the bytes of each kind of frame, as they came
    cdef int64_t[16] record
    cdef int i, frame
    cdef bits_t bits
    s.at, s.left = data, size
    memset(&t, 0, sizeof(t))
    memset(answers, 0, sizeof(answers))
    memset(raws, 0, sizeof(raws))
    for i in range(16):
        record[i] = CANARY
    fill_frames(&t, &s)
    fill_values(&t, &s, places)
    fill_flags(&t, &s)
    fill_blank(&t)
    take(&t, &s, answers, raws)
    for i in range(t.n_values):
        frame = t.values[i].frame
        if answers[frame].have:
            bits = t.values[i].bits
            bits.shift ^= wrong
            claim(raw_of(answers[frame].data, &bits) == by_definition(raws + 8 * frame, &places[i]))
    decode_record(&t, answers, record)
    record_is_right(&t, record)
    return 0


cdef int can_decode(const uint8_t* data, size_t size) noexcept nogil:
    return decode(data, size, 0)


cdef int misreads_a_field(const uint8_t* data, size_t size) noexcept nogil:
    """Not the product: proof that a field read one bit beside its place is seen."""
    return decode(data, size, 1)


# --- sending ---------------------------------------------------------------------------------------------------------

cdef void put_is_right(const send_t* send, const placed_t* p, const sources_t* sources, uint64_t data) noexcept nogil:
    """Its field holds what was meant, to half a raw number; every other bit is as the plan has it."""
    cdef uint8_t[8] bytes
    cdef uint8_t[8] before
    cdef placed_t bit
    cdef uint64_t raw
    cdef double meant
    cdef int i, at
    for i in range(8):
        bytes[i], before[i] = <uint8_t> (data >> (8 * i)), <uint8_t> (send.data >> (8 * i))
    raw = by_definition(bytes, p)
    for at in range(8 * send.length):
        if not p.first <= at < p.first + p.bits.length:
            bit.first, bit.bits.length, bit.bits.motorola = at, 1, p.bits.motorola
            claim(by_definition(bytes, &bit) == by_definition(before, &bit))
    claim(data == of_length(data, send.length))
    if send.puts[0].source >= FROM_DIRECTION or p.bits.kind == FLOAT:
        return
    meant = sources.numbers[send.puts[0].source] * send.puts[0].scale + send.puts[0].offset
    if p.bits.kind == SIGNED and raw >> (p.bits.length - 1):
        claim(fabs(nearbyint(meant) - <double> (<int64_t> (raw | ~(<uint64_t> -1 >> (64 - p.bits.length))))) == 0.0)
    else:
        claim(fabs(nearbyint(meant) - <double> raw) == 0.0)


cdef int can_encode(const uint8_t* data, size_t size) noexcept nogil:
    cdef stream_t s
    cdef send_t send
    cdef sources_t sources
    cdef placed_t p
    cdef uint64_t made = 0
    cdef uint64_t most
    cdef int i, fits
    s.at, s.left = data, size
    memset(&send, 0, sizeof(send))
    send.length = 1 + byte(&s) % 8
    send.data = of_length(word(&s), send.length)
    send.n_puts = 1
    p = place(&s, send.length)
    most = <uint64_t> -1 >> (64 - p.bits.length)
    send.puts[0].bits = p.bits
    send.puts[0].source = byte(&s) % (FROM_COUNTER + 1)
    send.puts[0].scale, send.puts[0].offset = setting(&s, 1.0), setting(&s, 0.0)
    send.puts[0].low, send.puts[0].high = word(&s) & most, word(&s) & most
    for i in range(5):
        sources.numbers[i] = any_double(&s) if byte(&s) & 1 else <double> (<int64_t> word(&s) % 100000) / 8.0
    sources.direction, sources.run, sources.counter = byte(&s) & 1, byte(&s) & 1, word(&s)
    fits = encode_send(&send, &sources, &made)
    if send.puts[0].source >= FROM_DIRECTION:
        claim(fits)
    elif not isfinite(sources.numbers[send.puts[0].source]):
        claim(not fits)
    if fits:
        put_is_right(&send, &p, &sources, made)
    return 0

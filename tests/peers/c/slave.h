/* A Modbus RTU slave as pure functions: a request frame in, a reply frame out. Written from the specification alone
 * (Modbus Application Protocol v1.1b3, section 6; Modbus over Serial Line v1.02, section 2.5.1), sharing nothing with
 * the master it tests.
 *
 * Units    up to SLAVE_UNITS ids on one wire, each with 65536 registers; functions 3 and 4 read the same ones, and a
 *          register holds its own address until it is written. Functions 3, 4, 6, 16, 23; unit 0 is a broadcast.
 */
#include <stdint.h>
#include <stdlib.h>

enum { SLAVE_UNITS = 8, FRAME_BYTES = 256 };

typedef struct {
    int id;
    uint16_t *words;
    int64_t reads, writes; /* answered, function 23 counts as a write */
} slave_t;

static uint16_t crc_of(const uint8_t *bytes, int n)
{
    uint16_t crc = 0xFFFF;
    for (int i = 0; i < n; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xA001 : crc >> 1;
    }
    return crc;
}

/* Put the checksum behind n bytes; the return is the length with it. */
static int sealed(uint8_t *frame, int n)
{
    uint16_t crc = crc_of(frame, n);
    frame[n] = crc & 0xFF;
    frame[n + 1] = crc >> 8;
    return n + 2;
}

static int is_frame(const uint8_t *frame, int n)
{
    return n >= 4 && n <= FRAME_BYTES && crc_of(frame, n) == 0;
}

static int word_at(const uint8_t *bytes)
{
    return bytes[0] << 8 | bytes[1];
}

static void put_word(uint8_t *bytes, int word)
{
    bytes[0] = word >> 8;
    bytes[1] = word & 0xFF;
}

static int exception(uint8_t *reply, int function, int code)
{
    reply[1] = function | 0x80;
    reply[2] = code;
    return 3;
}

/* 0, or the exception that a span of registers earns. */
static int refused(int address, int count, int most)
{
    if (count < 1 || count > most)
        return 3;
    return address + count > 65536 ? 2 : 0;
}

static int read_words(const slave_t *s, const uint8_t *ask, uint8_t *reply)
{
    int address = word_at(ask + 2), count = word_at(ask + 4);
    int code = refused(address, count, 125);
    if (code)
        return exception(reply, ask[1], code);
    reply[2] = 2 * count;
    for (int i = 0; i < count; i++)
        put_word(reply + 3 + 2 * i, s->words[address + i]);
    return 3 + 2 * count;
}

/* The block of function 16 or 23 that starts at `ask`: address, count, bytes, data up to `end`. 0 or an exception. */
static int write_words(slave_t *s, const uint8_t *ask, const uint8_t *end, int most)
{
    int address = word_at(ask), count = word_at(ask + 2);
    int code = refused(address, count, most);
    if (code)
        return code;
    if (ask[4] != 2 * count || ask + 5 + 2 * count != end)
        return 3;
    for (int i = 0; i < count; i++)
        s->words[address + i] = word_at(ask + 5 + 2 * i);
    return 0;
}

/* The reply's bytes without its checksum. `ask` is a frame of n bytes with a right checksum. */
static int answered(slave_t *s, const uint8_t *ask, int n, uint8_t *reply)
{
    const uint8_t *end = ask + n - 2;
    int code;
    reply[0] = s->id;
    reply[1] = ask[1];
    switch (ask[1]) {
    case 3:
    case 4:
        return n == 8 ? read_words(s, ask, reply) : exception(reply, ask[1], 3);
    case 6:
        if (n != 8)
            return exception(reply, 6, 3);
        s->words[word_at(ask + 2)] = word_at(ask + 4);
        break;
    case 16:
        code = n < 11 ? 3 : write_words(s, ask + 2, end, 123);
        if (code)
            return exception(reply, 16, code);
        break;
    case 23: /* writes first, then reads */
        code = n < 15 ? 3 : refused(word_at(ask + 2), word_at(ask + 4), 125);
        if (!code)
            code = write_words(s, ask + 6, end, 121);
        return code ? exception(reply, 23, code) : read_words(s, ask, reply);
    default:
        return exception(reply, ask[1], 1);
    }
    for (int i = 2; i < 6; i++)
        reply[i] = ask[i];
    return 6;
}

/* Modbus RTU slaves on a pty that is as slow as a real line.
 *
 *     paced_pty LINK BAUD CHARACTER_BITS TURNAROUND_US UNIT[,UNIT ...]
 *
 * Line      LINK becomes a symbolic link to the terminal. A pty carries a frame in an instant, so this program gives
 *           each byte its time on the wire: a request has arrived CHARACTER_BITS / BAUD after its first byte for each
 *           of its characters; a silence of 3.5 characters ends it (1.75 ms above 19200 baud); after that and the
 *           turnaround the reply's bytes are handed over when their last bit would be in. Times are absolute: what
 *           comes late does not move what follows.
 * Commands  on stdin, each answered by one line; the end of stdin ends the program.
 *               word UNIT ADDRESS VALUE          set a register
 *               words UNIT ADDRESS COUNT         the registers
 *               turnaround US
 *               fault UNIT KIND TIMES VALUE      the unit's next TIMES replies (-1: all; 0: none any more), KIND one of
 *                   silent; crc (wrong); cut (VALUE bytes of it); garbage (VALUE bytes before it); late (by VALUE ms);
 *                   unit (VALUE instead); babble (VALUE bytes instead); exception (code VALUE)
 *               noise BYTES                      bytes that nobody asked for, now
 *               stats                            name=number ...
 * Stats     early       requests whose first byte came before the silence was over; gap_min_ns is the shortest silence
 *           collisions  requests that came while a reply was on the wire: they are lost, as there
 *           bad         frames that are none
 *           lost_ns     how late the replies' last bytes were, in sum: taken by the machine, not by the line
 * Source    Modbus over Serial Line v1.02, section 2.5.1.
 */
#include "peer.h"

#include <poll.h>

#include "slave.h"

enum { REPLIES = 4, REPLY_BYTES = 4096, LINE_BYTES = 256 };
#define NEVER INT64_MAX
#define CHUNK_NS (1 * MS)       /* bytes are handed over about this often */
#define SPIN_NS (80 * US)       /* a sleep ends this much too early, the rest is waited out awake */
#define EXPECT_NS (1 * MS)      /* after a silence the next request is waited for awake, for so long */
#define TOLERANCE_NS (20 * US)  /* of a silence: the reading of the clock at both of its ends */

typedef enum { NONE, SILENT, CRC, CUT, GARBAGE, LATE, UNIT, BABBLE, EXCEPTION } kind_t;
static const char *const KINDS[] = {"none", "silent", "crc", "cut", "garbage", "late", "unit", "babble", "exception"};

typedef struct {
    kind_t kind;
    int times, value;
} fault_t;

typedef struct {
    int64_t start_ns; /* on the wire */
    int n, sent;
    uint8_t bytes[REPLY_BYTES];
} reply_t;

static struct {
    int fd;
    int64_t character_ns, silence_ns, turnaround_ns;
    int chunk;           /* bytes handed over at a time */
    int64_t idle_ns;     /* the wire is silent since */
    uint8_t request[FRAME_BYTES + 1];
    int n_request, spoilt;
    int64_t arrived_ns;  /* its last byte so far, on the wire */
    reply_t replies[REPLIES];
    int n_replies;
} line;

static slave_t units[SLAVE_UNITS];
static fault_t faults[SLAVE_UNITS];
static int n_units;
static struct {
    int64_t requests, replies, early, collisions, bad, gap_min_ns, lost_ns;
} count = {.gap_min_ns = NEVER};

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static uint8_t random_byte(void)
{
    static uint32_t state = 1;
    state = state * 1664525u + 1013904223u;
    return state >> 24;
}

/* --- replies ---------------------------------------------------------------------------------------------------- */

/* In the order of their times, but never before one that has begun. */
static void queue(const reply_t *r)
{
    int at = line.n_replies;
    if (r->n == 0 || at == REPLIES)
        return;
    while (at > 0 && line.replies[at - 1].sent == 0 && line.replies[at - 1].start_ns > r->start_ns)
        at--;
    memmove(&line.replies[at + 1], &line.replies[at], (line.n_replies++ - at) * sizeof *r);
    line.replies[at] = *r;
}

static void append_random(reply_t *r, int n)
{
    for (int i = 0; i < n && r->n < REPLY_BYTES - FRAME_BYTES; i++)
        r->bytes[r->n++] = random_byte();
}

/* A whole frame, with what a fault makes of it. */
static void append_frame(reply_t *r, uint8_t *frame, int n, fault_t fault)
{
    if (fault.kind == GARBAGE || fault.kind == BABBLE)
        append_random(r, fault.value);
    if (fault.kind == SILENT || fault.kind == BABBLE)
        return;
    if (fault.kind == UNIT)
        frame[0] = fault.value;
    if (fault.kind == EXCEPTION)
        n = exception(frame, frame[1], fault.value);
    if (fault.kind == LATE)
        r->start_ns += fault.value * MS;
    n = sealed(frame, n);
    if (fault.kind == CRC)
        frame[n - 1] ^= 0xFF;
    if (fault.kind == CUT)
        n = (int) least(n, fault.value);
    memcpy(r->bytes + r->n, frame, n);
    r->n += n;
}

static fault_t next_fault(fault_t *f)
{
    fault_t now = f->times ? *f : (fault_t){NONE, 0, 0};
    if (f->times > 0)
        f->times--;
    return now;
}

static void answer(slave_t *s, fault_t *fault)
{
    static reply_t r;
    uint8_t frame[FRAME_BYTES];
    int n = answered(s, line.request, line.n_request, frame);
    r.n = r.sent = 0;
    r.start_ns = line.arrived_ns + line.silence_ns + line.turnaround_ns;
    append_frame(&r, frame, n, next_fault(fault));
    queue(&r);
    if (r.n && (line.request[1] == 3 || line.request[1] == 4))
        s->reads++;
    else if (r.n)
        s->writes++;
}

/* The silence after a request is over. */
static void end_request(void)
{
    uint8_t ignored[FRAME_BYTES];
    if (!line.spoilt && is_frame(line.request, line.n_request)) {
        count.requests++;
        for (int i = 0; i < n_units; i++) {
            if (line.request[0] == units[i].id)
                answer(&units[i], &faults[i]);
            else if (line.request[0] == 0)
                answered(&units[i], line.request, line.n_request, ignored);
        }
    } else {
        count.bad++;
    }
    line.n_request = line.spoilt = 0;
}

/* --- the wire --------------------------------------------------------------------------------------------------- */

static void first_byte(int64_t t_ns)
{
    int64_t gap_ns = t_ns - line.idle_ns;
    if (line.n_replies && line.replies[0].start_ns < t_ns) {
        count.collisions++;
        line.spoilt = 1;
    } else if (line.idle_ns) {
        count.gap_min_ns = least(count.gap_min_ns, gap_ns);
        count.early += gap_ns < line.silence_ns - TOLERANCE_NS;
    }
    line.arrived_ns = t_ns;
}

/* Take what the master has sent; 0: nothing. */
static int take(void)
{
    uint8_t bytes[FRAME_BYTES];
    ssize_t n = read(line.fd, bytes, sizeof bytes);
    int64_t t_ns = now_ns();
    if (n <= 0)
        return 0;
    if (line.n_request == 0)
        first_byte(t_ns);
    line.arrived_ns = most(line.arrived_ns, t_ns) + n * line.character_ns;
    line.idle_ns = most(line.idle_ns, line.arrived_ns);
    for (int i = 0; i < n && line.n_request <= FRAME_BYTES; i++)
        line.request[line.n_request++] = bytes[i];
    return 1;
}

static int next_sent(const reply_t *r)
{
    return (int) least(r->n, r->sent + line.chunk);
}

static int64_t due_ns(const reply_t *r)
{
    return r->start_ns + next_sent(r) * line.character_ns;
}

/* Hand the next bytes over at their time, then drop the reply if these were its last. */
static void hand_over(void)
{
    reply_t *r = &line.replies[0];
    int64_t due = due_ns(r), end = next_sent(r), t_ns;
    while ((t_ns = now_ns()) < due)
        ;
    if (write(line.fd, r->bytes + r->sent, end - r->sent) < 0)
        perror("paced_pty: write");
    r->sent = (int) end;
    line.idle_ns = most(line.idle_ns, t_ns);
    if (r->sent < r->n)
        return;
    count.replies++;
    count.lost_ns += t_ns - due;
    memmove(line.replies, line.replies + 1, --line.n_replies * sizeof *r);
    if (line.n_replies)
        line.replies[0].start_ns = most(line.replies[0].start_ns, t_ns);
}

/* When the line needs attention, whatever arrives. */
static int64_t deadline_ns(void)
{
    int64_t silence = line.n_request ? line.arrived_ns + line.silence_ns : NEVER;
    return least(silence, line.n_replies ? due_ns(&line.replies[0]) : NEVER);
}

/* A request is due about now: look for it without sleeping. */
static void expect(void)
{
    int64_t from = line.idle_ns + line.silence_ns;
    while (!line.n_request && !line.n_replies && now_ns() < from + EXPECT_NS && now_ns() >= from - SPIN_NS)
        take();
}

/* --- commands --------------------------------------------------------------------------------------------------- */

static int index_of(int id)
{
    for (int i = 0; i < n_units; i++)
        if (units[i].id == id)
            return i;
    return -1;
}

static void print_stats(void)
{
    printf("requests=%lld replies=%lld early=%lld collisions=%lld bad=%lld gap_min_ns=%lld lost_ns=%lld",
           (long long) count.requests, (long long) count.replies, (long long) count.early,
           (long long) count.collisions, (long long) count.bad,
           (long long) (count.gap_min_ns == NEVER ? 0 : count.gap_min_ns), (long long) count.lost_ns);
    for (int i = 0; i < n_units; i++)
        printf(" reads_%d=%lld writes_%d=%lld", units[i].id, (long long) units[i].reads, units[i].id,
               (long long) units[i].writes);
    puts("");
}

static int set_fault(int unit, const char *kind, int times, int value)
{
    for (int k = SILENT; k <= EXCEPTION; k++)
        if (strcmp(kind, KINDS[k]) == 0) {
            faults[unit] = (fault_t){k, times, value};
            return 1;
        }
    return 0;
}

static int obey(const char *command)
{
    char kind[16];
    int id, a, b, i;
    if (sscanf(command, "word %d %d %d", &id, &a, &b) == 3 && (i = index_of(id)) >= 0) {
        units[i].words[a & 0xFFFF] = b;
    } else if (sscanf(command, "words %d %d %d", &id, &a, &b) == 3 && (i = index_of(id)) >= 0) {
        for (int k = 0; k < b; k++)
            printf("%d ", units[i].words[(a + k) & 0xFFFF]);
        puts("");
        return 1;
    } else if (sscanf(command, "turnaround %d", &a) == 1) {
        line.turnaround_ns = a * US;
    } else if (sscanf(command, "fault %d %15s %d %d", &id, kind, &a, &b) == 4 && (i = index_of(id)) >= 0) {
        if (!set_fault(i, kind, a, b))
            return 0;
    } else if (sscanf(command, "noise %d", &a) == 1) {
        static reply_t r;
        r = (reply_t){.start_ns = now_ns()};
        append_random(&r, a);
        queue(&r);
    } else if (strcmp(command, "stats") == 0) {
        print_stats();
        return 1;
    } else {
        return 0;
    }
    puts("ok");
    return 1;
}

/* Whole lines of stdin; 0 at its end. */
static int obey_stdin(void)
{
    static char text[LINE_BYTES];
    static int n;
    ssize_t got = read(STDIN_FILENO, text + n, LINE_BYTES - 1 - n);
    char *end;
    if (got <= 0)
        return 0;
    n += (int) got;
    text[n] = 0;
    while ((end = strchr(text, '\n'))) {
        *end = 0;
        if (!obey(text))
            printf("unknown command: %s\n", text);
        n -= (int) (end + 1 - text);
        memmove(text, end + 1, n + 1);
    }
    fflush(stdout);
    return 1;
}

/* --- start ------------------------------------------------------------------------------------------------------ */

static int add_units(char *list)
{
    for (char *id = strtok(list, ","); id; id = strtok(NULL, ",")) {
        if (n_units == SLAVE_UNITS || atoi(id) < 1 || atoi(id) > 247)
            return 0;
        slave_t *s = &units[n_units++];
        s->id = atoi(id);
        s->words = malloc(65536 * sizeof *s->words);
        for (int a = 0; a < 65536; a++)
            s->words[a] = a;
    }
    return n_units;
}

/* Processors that sleep would make the line slow. */
static void keep_awake(void)
{
    int awake = open("/dev/cpu_dma_latency", O_WRONLY | O_CLOEXEC); /* holds while open */
    int32_t none = 0;
    if (awake >= 0 && write(awake, &none, sizeof none) < 0)
        close(awake);
}

/* Until there is something to do: a deadline, the moment a request is due, input. */
static void sleep_a_while(struct pollfd *ready)
{
    int64_t now = now_ns(), wake = deadline_ns(), expected = line.idle_ns + line.silence_ns;
    if (wake == NEVER && expected > now)
        wake = expected;
    int64_t left = most(wake - SPIN_NS - now, 0);
    struct timespec nap = {left / S, left % S};
    ppoll(ready, 2, wake == NEVER ? NULL : &nap, NULL);
}

static void serve(void)
{
    struct pollfd ready[2] = {{line.fd, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    for (;;) {
        sleep_a_while(ready);
        if (ready[0].revents & POLLIN)
            take();
        expect();
        if (line.n_request && now_ns() >= line.arrived_ns + line.silence_ns)
            end_request();
        if (line.n_replies && now_ns() >= due_ns(&line.replies[0]) - SPIN_NS)
            hand_over();
        if (ready[1].revents && !obey_stdin())
            return;
    }
}

int main(int argc, char **argv)
{
    if (argc != 6 || atoi(argv[2]) < 300 || atoi(argv[3]) < 9 || !add_units(argv[5])) {
        fprintf(stderr, "usage: paced_pty LINK BAUD CHARACTER_BITS TURNAROUND_US UNIT[,UNIT ...]\n");
        return 2;
    }
    line.character_ns = S * atoi(argv[3]) / atoi(argv[2]);
    line.silence_ns = atoi(argv[2]) > 19200 ? 1750 * US : line.character_ns * 7 / 2;
    line.turnaround_ns = atoi(argv[4]) * US;
    line.chunk = (int) most(CHUNK_NS / line.character_ns, 1);
    line.fd = open_pty(argv[1], O_NONBLOCK);
    if (line.fd < 0) {
        fprintf(stderr, "paced_pty: %s: %s; allowed: a new name in a folder that can be written\n", argv[1],
                strerror(errno));
        return 2;
    }
    keep_awake();
    be_real_time(95);
    puts("ready");
    fflush(stdout);
    serve();
    unlink(argv[1]);
    return 0;
}

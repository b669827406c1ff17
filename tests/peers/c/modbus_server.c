/* A libmodbus slave, for peers: TCP on a free port of 127.0.0.1, or RTU on a pty of its own.
 *
 *     modbus_server PRIORITY UNIT tcp           prints "ready PORT"; any number of connections, a thread each
 *     modbus_server PRIORITY UNIT rtu LINK      prints "ready"; LINK becomes a symbolic link to the terminal
 *
 * Registers  0 ... 999, input and holding registers are the same ones; each holds its own address at first.
 * Quick      "quick" at the end: no checks and no waiting for parts of a frame, so that little but the reply's building
 *            is left; for a client that is trusted to send whole requests of 8 bytes (RTU).
 * Priority   of SCHED_FIFO; 0: ordinary.
 * Commands   on stdin, each answered by one line; the end of stdin ends the program.
 *                word ADDRESS VALUE
 *                words ADDRESS COUNT            the registers
 *                react COUNT PERIOD_US PERIODS F LOW HIGH P
 *                    COUNT times, so many periods apart: turn register F from LOW to HIGH or back, and time how long it
 *                    is until register P is written lower (F is now HIGH) or higher than before. Within a controller's
 *                    period the changes are spread evenly, by the golden ratio: a few of them see every phase of it.
 *                    Answers COUNT times in ns; -1: not within 2 s.
 */
#include "peer.h"

#include <modbus/modbus.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

enum { WORDS = 1000, LINE_BYTES = 256 };
#define PATIENCE_NS (2 * S)

static modbus_mapping_t *map;
static int unit, quick;
/* the set-point watched by `react`: where, which way it must move (0: not watched), when it did */
static atomic_int watched = -1, wanted;
static _Atomic int64_t t_moved_ns;
static int last;

/* A request has been carried out: did it move the watched set-point the way it must go? */
static void look(const uint8_t *pdu, int64_t t_ns)
{
    if ((pdu[0] != 6 && pdu[0] != 16) || (pdu[1] << 8 | pdu[2]) != watched)
        return;
    int value = (int16_t) map->tab_registers[watched];
    if ((value - last) * wanted > 0) {
        t_moved_ns = t_ns; /* before `wanted`: who waits for that reads this next */
        wanted = 0;
    }
    last = value;
}

/* A whole request, or what libmodbus makes of less; <= 0: the connection is over. */
static int receive(modbus_t *ctx, uint8_t *request, int serial)
{
    if (!quick)
        return modbus_receive(ctx, request);
    int n = 0, got;
    do {
        got = (int) read(modbus_get_socket(ctx), request + n, MODBUS_TCP_MAX_ADU_LENGTH - n);
        n += got;
    } while (got > 0 && serial && n < 8);
    return got > 0 ? n : -1;
}

static void serve(modbus_t *ctx, int serial)
{
    uint8_t request[MODBUS_TCP_MAX_ADU_LENGTH];
    modbus_set_slave(ctx, unit);
    for (;;) {
        int n = receive(ctx, request, serial);
        int64_t t_ns = now_ns();
        if (n > 0 && modbus_reply(ctx, request, n, map) >= 0)
            look(request + modbus_get_header_length(ctx), t_ns);
        else if (n < 0 && !serial)
            return;
    }
}

static void *serve_connection(void *arg)
{
    int fd = (int) (intptr_t) arg, one = 1;
    modbus_t *ctx = modbus_new_tcp("127.0.0.1", 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    modbus_set_socket(ctx, fd);
    serve(ctx, 0);
    modbus_close(ctx);
    modbus_free(ctx);
    return NULL;
}

static void *serve_tcp(void *arg)
{
    int listener = (int) (intptr_t) arg;
    for (;;) {
        pthread_t thread;
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0 && pthread_create(&thread, NULL, serve_connection, (void *) (intptr_t) fd) == 0)
            pthread_detach(thread);
    }
    return NULL;
}

static void *serve_rtu(void *arg)
{
    modbus_t *ctx = modbus_new_rtu("/dev/ptmx", 115200, 'N', 8, 1);
    modbus_set_socket(ctx, (int) (intptr_t) arg);
    serve(ctx, 1);
    return NULL;
}

/* --- commands --------------------------------------------------------------------------------------------------- */

static int64_t one_reaction(int f, int value, int direction)
{
    wanted = direction;
    int64_t t_ns = now_ns();
    map->tab_registers[f] = value;
    while (wanted && now_ns() < t_ns + PATIENCE_NS)
        sleep_until(now_ns() + 200 * US);
    return wanted ? -1 : t_moved_ns - t_ns;
}

static void react(int times, int64_t period_ns, int periods, int f, int low, int high)
{
    int up = map->tab_registers[f] != high;
    int64_t slot_ns = now_ns() + period_ns;
    for (int i = 0; i < times; i++, up = !up) {
        double phase = i * 0.6180339887498949;
        sleep_until(slot_ns + (int64_t) ((phase - (int) phase) * period_ns));
        printf("%lld ", (long long) one_reaction(f, up ? high : low, up ? -1 : 1));
        while (slot_ns < now_ns())
            slot_ns += periods * period_ns;
    }
    puts("");
}

static int obey(const char *command)
{
    int a, b, times, period_us, periods, f, low, high, p;
    if (sscanf(command, "words %d %d", &a, &b) == 2 && a >= 0 && a + b <= WORDS) {
        for (int i = 0; i < b; i++)
            printf("%d ", map->tab_registers[a + i]);
        puts("");
    } else if (sscanf(command, "word %d %d", &a, &b) == 2 && a >= 0 && a < WORDS) {
        map->tab_registers[a] = b;
        puts("ok");
    } else if (sscanf(command, "react %d %d %d %d %d %d %d", &times, &period_us, &periods, &f, &low, &high, &p) == 7) {
        watched = p;
        react(times, period_us * US, periods, f, low, high);
    } else {
        return 0;
    }
    return 1;
}

static int listen_anywhere(int *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *) &at, sizeof at) || listen(fd, 8))
        return -1;
    getsockname(fd, (struct sockaddr *) &at, &size);
    *port = ntohs(at.sin_port);
    return fd;
}

int main(int argc, char **argv)
{
    char command[LINE_BYTES];
    int tcp = argc > 3 && strcmp(argv[3], "tcp") == 0, port = 0;
    if (argc < (tcp ? 4 : 5)) {
        fprintf(stderr, "usage: modbus_server PRIORITY UNIT tcp [quick] | modbus_server PRIORITY UNIT rtu LINK [quick]\n");
        return 2;
    }
    unit = atoi(argv[2]);
    quick = strcmp(argv[argc - 1], "quick") == 0;
    map = modbus_mapping_new(0, 0, WORDS, WORDS);
    map->tab_input_registers = map->tab_registers;
    for (int i = 0; i < WORDS; i++)
        map->tab_registers[i] = i;
    int fd = tcp ? listen_anywhere(&port) : open_pty(argv[4], 0);
    if (fd < 0) {
        fprintf(stderr, "modbus_server: %s: %s\n", argv[argc > 4 ? 4 : 3], strerror(errno));
        return 2;
    }
    be_real_time(atoi(argv[1]));
    pthread_t thread;
    pthread_create(&thread, NULL, tcp ? serve_tcp : serve_rtu, (void *) (intptr_t) fd);
    printf("ready %d\n", port);
    do
        fflush(stdout);
    while (fgets(command, sizeof command, stdin) && (obey(command) || printf("unknown command: %s", command)));
    if (!tcp)
        unlink(argv[4]);
    return 0;
}

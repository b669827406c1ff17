/* A libmodbus master, for comparison: reads as often as it is told, one at a time.
 *
 *     modbus_client UNIT tcp PORT | modbus_client UNIT rtu PATH        (115200 8N1)
 *
 * Commands  on stdin; the end of stdin ends the program.
 *               read COUNT TIMES REST_US CLOCK
 *                   COUNT input registers from 0 on, a rest before each read. Answers two lines: the words of the last
 *                   read, the ns that each took by this clock (a number of clock_gettime); or one line "error: ..."
 */
#include "peer.h"

#include <modbus/modbus.h>

enum { TIMES = 100000, LINE_BYTES = 256 };

static int64_t taken_ns[TIMES];

static int64_t ns_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * S + t.tv_nsec;
}

static int read_many(modbus_t *ctx, int count, int times, int rest_us, clockid_t clock)
{
    uint16_t words[MODBUS_MAX_READ_REGISTERS];
    for (int i = 0; i < times; i++) {
        if (rest_us)
            sleep_until(now_ns() + rest_us * US);
        int64_t t_ns = ns_of(clock);
        if (modbus_read_input_registers(ctx, 0, count, words) != count)
            return 0;
        taken_ns[i] = ns_of(clock) - t_ns;
    }
    for (int i = 0; i < count; i++)
        printf("%d ", words[i]);
    puts("");
    for (int i = 0; i < times; i++)
        printf("%lld ", (long long) taken_ns[i]);
    puts("");
    return 1;
}

int main(int argc, char **argv)
{
    char command[LINE_BYTES];
    int count, times, rest_us, clock;
    if (argc != 4) {
        fprintf(stderr, "usage: modbus_client UNIT tcp PORT | modbus_client UNIT rtu PATH\n");
        return 2;
    }
    modbus_t *ctx = strcmp(argv[2], "tcp") == 0 ? modbus_new_tcp("127.0.0.1", atoi(argv[3]))
                                                : modbus_new_rtu(argv[3], 115200, 'N', 8, 1);
    if (!ctx || modbus_set_slave(ctx, atoi(argv[1])) || modbus_connect(ctx)) {
        fprintf(stderr, "modbus_client: %s: %s\n", argv[3], modbus_strerror(errno));
        return 2;
    }
    puts("ready");
    fflush(stdout);
    while (fgets(command, sizeof command, stdin)) {
        if (sscanf(command, "read %d %d %d %d", &count, &times, &rest_us, &clock) != 4 || count < 1 || count > 125
            || times < 1 || times > TIMES)
            printf("error: unknown command: %s", command);
        else if (!read_many(ctx, count, times, rest_us, clock))
            printf("error: %s\n", modbus_strerror(errno));
        fflush(stdout);
    }
    return 0;
}

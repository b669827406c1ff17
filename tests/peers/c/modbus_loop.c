/* A controller as plain as can be: each period read the frequency, compute a set-point, write it. libmodbus over TCP.
 *
 *     modbus_loop PRIORITY UNIT PORT PERIOD_US F P
 *
 * F        input register with the frequency in mHz; P: holding register of the set-point in W.
 * Compute  50 Hz: 0 W, 4 kW less for each Hz more.
 * Time     an absolute grid; what is late skips to the next point of it. The end of stdin ends the program.
 */
#include "peer.h"

#include <modbus/modbus.h>
#include <pthread.h>

static modbus_t *connected(const char *unit, const char *port)
{
    modbus_t *ctx = modbus_new_tcp("127.0.0.1", atoi(port));
    if (modbus_set_slave(ctx, atoi(unit)) || modbus_connect(ctx)) {
        fprintf(stderr, "modbus_loop: port %s: %s\n", port, modbus_strerror(errno));
        exit(2);
    }
    return ctx;
}

static void *end_with_stdin(void *arg)
{
    while (getchar() != EOF)
        ;
    exit(0);
    return arg;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    uint16_t f_mhz;
    if (argc != 7) {
        fprintf(stderr, "usage: modbus_loop PRIORITY UNIT PORT PERIOD_US F P\n");
        return 2;
    }
    modbus_t *meter = connected(argv[2], argv[3]), *inverter = connected(argv[2], argv[3]);
    int f = atoi(argv[5]), p = atoi(argv[6]);
    int64_t period_ns = atoi(argv[4]) * US, due_ns = now_ns();
    pthread_create(&thread, NULL, end_with_stdin, NULL);
    be_real_time(atoi(argv[1]));
    puts("ready");
    fflush(stdout);
    for (;;) {
        due_ns += period_ns * (1 + (now_ns() - due_ns) / period_ns);
        sleep_until(due_ns);
        if (modbus_read_input_registers(meter, f, 1, &f_mhz) != 1)
            continue;
        modbus_write_register(inverter, p, (uint16_t) (4 * (50000 - f_mhz)));
    }
}

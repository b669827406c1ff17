/* What the programs here share: the clock, punctuality, a terminal of one's own. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define US 1000LL
#define MS 1000000LL
#define S 1000000000LL

static inline int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * S + t.tv_nsec;
}

static inline void sleep_until(int64_t t_ns)
{
    struct timespec t = {t_ns / S, t_ns % S};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

/* SCHED_FIFO for this thread and those it starts, in memory; as far as this machine allows. Priority 0: nothing. */
static inline void be_real_time(int priority)
{
    struct sched_param fifo = {.sched_priority = priority};
    if (priority) {
        mlockall(MCL_CURRENT);
        sched_setscheduler(0, SCHED_FIFO, &fifo);
    }
}

/* The near end of a new raw pty whose far end is a symbolic link, or -1. A master that leaves does not hang it up. */
static inline int open_pty(const char *link, int flags)
{
    struct termios raw;
    int fd = posix_openpt(O_RDWR | O_NOCTTY | flags);
    if (fd < 0 || grantpt(fd) || unlockpt(fd))
        return -1;
    int far = open(ptsname(fd), O_RDWR | O_NOCTTY); /* never closed */
    if (far < 0 || tcgetattr(far, &raw))
        return -1;
    cfmakeraw(&raw);
    tcsetattr(far, TCSANOW, &raw);
    unlink(link);
    return symlink(ptsname(fd), link) ? -1 : fd;
}

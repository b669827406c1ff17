"""A wall clock that can be made to jump, for processes that are started with environment().

A small library stands in front of libc's clock_gettime(CLOCK_REALTIME) and adds what a shared file says; all other
clocks, the monotonic one first, stay as they are. The machine's own clock is never touched.
Errors   ClockError, one line: there is no C compiler, or it refuses.
"""

from __future__ import annotations

import mmap
import os
import shutil
import subprocess
from pathlib import Path
from struct import pack_into, unpack_from

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

typedef int (*clock_t_)(clockid_t, struct timespec *);

static const volatile long long *step_ns(void) {
    static const volatile long long *shared;
    if (!shared) {
        static const long long none;
        const char *path = getenv("V2G_SIM_CLOCK");
        int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        void *map = fd >= 0 ? mmap(0, sizeof(long long), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
        shared = map == MAP_FAILED ? &none : map;
    }
    return shared;
}

int clock_gettime(clockid_t id, struct timespec *t) {
    static clock_t_ real;
    if (!real) real = (clock_t_) dlsym(RTLD_NEXT, "clock_gettime");
    int error = real(id, t);
    if (error == 0 && id == CLOCK_REALTIME) {
        long long ns = t->tv_sec * 1000000000LL + t->tv_nsec + *step_ns();
        t->tv_sec = ns / 1000000000LL;
        t->tv_nsec = ns % 1000000000LL;
    }
    return error;
}
"""
BYTES = 8


class ClockError(Exception):
    """The wall clock cannot be made to jump here: the text says what is missing."""


class Clock:
    """One clock of all processes that get environment()."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file, self._library = folder / "clock", folder / "clock.so"
        self._file.write_bytes(bytes(BYTES))
        compile_library(self._library)
        with self._file.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), BYTES)

    def environment(self) -> dict[str, str]:
        """What a process must be started with."""
        return {"LD_PRELOAD": str(self._library), "V2G_SIM_CLOCK": str(self._file)}

    def step(self, seconds: float) -> None:
        """From now on the wall clock is so much later; what it was stepped before stays."""
        (before,) = unpack_from("<q", self._map)
        pack_into("<q", self._map, 0, before + round(seconds * 1e9))

    def close(self) -> None:
        self._map.close()


def compile_library(to: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        raise ClockError("clock.step needs a C compiler (cc); allowed: a script without it, or apt-get install gcc")
    command = [compiler, "-x", "c", "-", "-shared", "-fPIC", "-O1", "-o", os.fspath(to), "-ldl"]
    done = subprocess.run(command, input=SOURCE, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClockError(f"clock.step: {compiler} ended with {done.returncode}: {done.stderr.strip().splitlines()[-1]}")

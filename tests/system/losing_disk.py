"""A disk that loses at a power cut what nobody has forced out: fsync and fdatasync of a folder's files are noted.

Noted    a small library in front of libc keeps each file of the folder as it is when its fsync returns.
Cut      what was appended since then is there up to a random byte; a page that was written over is the old or the new
         one, by chance; a file that was made shorter may be long again. (ext4, data=ordered.) What SQLite shares
         between processes (-shm) is memory, and gone.
Not here new names and removed ones: they stand at once.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from random import Random

from tests.need import tool

PAGE = 4096
SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* SQLite's locks are the process's: closing a second descriptor of a file would drop them. So the first one is read. */
static int copy(int from, const char *to) {
    char block[65536];
    off_t at = 0;
    ssize_t n;
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    while (out >= 0 && (n = pread(from, block, sizeof block, at)) > 0 && write(out, block, n) == n) at += n;
    return out < 0 || n != 0 || close(out) != 0;
}

static void keep(int fd) {
    const char *folder = getenv("V2G_DISK"), *kept = getenv("V2G_DISK_KEPT");
    char link[64], path[PATH_MAX], part[PATH_MAX], whole[PATH_MAX];
    struct stat s;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0 || !folder || !kept || fstat(fd, &s) || !S_ISREG(s.st_mode)) return;
    path[n] = 0;
    if (strncmp(path, folder, strlen(folder))) return;
    snprintf(whole, sizeof whole, "%s/%llu", kept, (unsigned long long) s.st_ino);
    snprintf(part, sizeof part, "%s.%d", whole, gettid());
    int readable = (fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY ? open(path, O_RDONLY | O_CLOEXEC) : fd;
    if (copy(readable, part) || rename(part, whole)) abort();
    if (readable != fd) close(readable);
}

static int forced(const char *name, int fd) {
    int (*real)(int) = (int (*)(int)) dlsym(RTLD_NEXT, name);
    int error = real(fd), number = errno;
    if (error == 0) keep(fd);
    errno = number;
    return error;
}

int fsync(int fd) { return forced("fsync", fd); }
int fdatasync(int fd) { return forced("fdatasync", fd); }
"""


class LosingDisk:
    """folder: what lies on it; processes that write there are started with environment()."""

    def __init__(self, folder: Path, work: Path) -> None:
        self.folder, self.kept, self._library = folder, work / "kept", work / "disk.so"
        self.kept.mkdir(parents=True)
        command = [tool("cc"), "-x", "c", "-", "-shared", "-fPIC", "-O1", "-o", os.fspath(self._library), "-ldl"]
        subprocess.run(command, input=SOURCE, text=True, check=True)

    def environment(self) -> dict[str, str]:
        """What a process must be started with."""
        return {"LD_PRELOAD": str(self._library), "V2G_DISK": f"{self.folder}/", "V2G_DISK_KEPT": str(self.kept)}

    def forced(self, file: Path) -> bytes:
        """What the disk owes us of it, whenever the power fails."""
        kept = self.kept / str(file.stat().st_ino)
        return kept.read_bytes() if kept.exists() else b""

    def cut(self, random: Random) -> dict[str, int]:
        """Nobody writes any more. -> bytes that each file has become shorter by; what is there now will stay."""
        lost = {}
        for file in sorted(f for f in self.folder.rglob("*") if f.is_file()):
            if file.name.endswith("-shm"):
                file.unlink()
                continue
            written = file.read_bytes()
            left = after_a_cut(self.forced(file), written, random)
            lost[file.name] = len(written) - len(left)
            with file.open("r+b") as stream:
                stream.write(left)
                stream.truncate()
        shutil.rmtree(self.kept)
        self.kept.mkdir()
        for file in (f for f in self.folder.rglob("*") if f.is_file()):
            shutil.copyfile(file, self.kept / str(file.stat().st_ino))
        return lost


def after_a_cut(forced: bytes, written: bytes, random: Random) -> bytes:
    """A file as the disk has it. forced: as it was at its last fsync; written: as its process left it."""
    size = random.randint(min(len(forced), len(written)), max(len(forced), len(written)))
    left = bytearray(written[:size] + forced[len(written) : size])
    for at in range(0, min(len(forced), size) // PAGE * PAGE, PAGE):
        page = slice(at, at + PAGE)
        if random.random() < 0.5:
            left[page] = forced[page]
    return bytes(left)

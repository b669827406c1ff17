/* For user-mode Linux on processors whose register state is larger than its kernel knows (AMX).
 *
 * Linux wants the whole state of a traced process when it is set (x86: xstateregs_set), user-mode Linux 6.1 gives the
 * part it knows, and panics: "ptrace set fp regs failed, errno = 14". Here the rest is what the process has already.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

#define XSTATE ((void *)0x202) /* NT_X86_XSTATE of <elf.h> */
#define LARGEST (64 * 1024)

long ptrace(enum __ptrace_request request, ...)
{
    static long (*real)(int, pid_t, void *, void *);
    static char whole[LARGEST]; /* that kernel has one thread */
    struct iovec all = {whole, sizeof(whole)};
    va_list rest;
    va_start(rest, request);
    pid_t pid = va_arg(rest, pid_t);
    void *address = va_arg(rest, void *), *data = va_arg(rest, void *);
    va_end(rest);
    if (!real)
        real = (long (*)(int, pid_t, void *, void *))dlsym(RTLD_NEXT, "ptrace");
    if (request == PTRACE_SETREGSET && address == XSTATE && real(PTRACE_GETREGSET, pid, address, &all) == 0) {
        const struct iovec *given = data;
        if (given->iov_len < all.iov_len) {
            memcpy(whole, given->iov_base, given->iov_len);
            data = &all;
        }
    }
    return real(request, pid, address, data);
}

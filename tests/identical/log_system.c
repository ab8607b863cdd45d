// log_system.c: writes every call that the allocator's os.c makes for memory to the log, and lets
// new mappings lie at addresses that depend on the calls alone.
//
// Linked with --wrap in front of the C library. The clock and failures are os_fault.c's.
#define _GNU_SOURCE 1
#include "log.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

// Far from where the kernel puts the program, its libraries and its stack.
static uintptr_t next = (uintptr_t)1 << 45;

// A mapping of so many bytes comes to lie at `next`; the one after it, behind it.
static void *placed(void *p, size_t bytes)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    if (p == (void *)next)
        next += (bytes + page - 1) / page * page + page;
    return p;
}

// The addresses are the same in each run, so they are written as they are.
void *__real_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    void *p = at != NULL ? __real_mmap(at, bytes, protection, flags, fd, offset)
                         : placed(__real_mmap((void *)next, bytes, protection,
                                              flags | MAP_FIXED_NOREPLACE, fd, offset),
                                  bytes);
    log_line("  mmap %p %zu %d %#x -> %p", at, bytes, protection, (unsigned)flags, p);
    return p;
}

void *__real_mremap(void *p, size_t from, size_t to, int flags, ...);
void *__wrap_mremap(void *p, size_t from, size_t to, int flags, ...);
void *__wrap_mremap(void *p, size_t from, size_t to, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    void *at = (flags & MREMAP_FIXED) != 0 ? va_arg(arguments, void *) : NULL;
    va_end(arguments);
    void *result = MAP_FAILED;
    if (at != NULL)
        result = __real_mremap(p, from, to, flags, at);
    else if (flags == MREMAP_MAYMOVE) // in place if that is possible, as the kernel does
        result = __real_mremap(p, from, to, 0);
    if (at == NULL && result == MAP_FAILED)
        result = placed(__real_mremap(p, from, to, flags | MREMAP_FIXED, (void *)next), to);
    log_line("  mremap %p %zu %zu %#x %p -> %p", p, from, to, (unsigned)flags, at, result);
    return result;
}

#define RANGE(name, last)                          \
    int __real_##name(void *p, size_t bytes last); \
    int __wrap_##name(void *p, size_t bytes last); \
    int __wrap_##name(void *p, size_t bytes last)

#define COMMA_INT , int how

RANGE(mprotect, COMMA_INT)
{
    int result = __real_mprotect(p, bytes, how);
    log_line("  mprotect %p %zu %d -> %d", p, bytes, how, result);
    return result;
}

RANGE(madvise, COMMA_INT)
{
    int result = __real_madvise(p, bytes, how);
    log_line("  madvise %p %zu %d -> %d", p, bytes, how, result);
    return result;
}

RANGE(munmap, )
{
    int result = __real_munmap(p, bytes);
    log_line("  munmap %p %zu -> %d", p, bytes, result);
    return result;
}

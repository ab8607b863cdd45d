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

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

// Far from where the kernel puts the program, its libraries and its stack, and below the places
// that os_fault.c moves reservations to.
#define FIRST ((uintptr_t)1 << 45)
#define BEHIND ((uintptr_t)7 << 44)

// A mapping whose place is free to choose comes to lie at `next`; when all of them are gone, the
// next one is the first again.
static uintptr_t next = FIRST;
static size_t mapped; // bytes

static void *placed(void *p, size_t bytes)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    if (p == (void *)next) {
        next += (bytes + page - 1) / page * page + page;
        mapped += bytes;
    }
    return p;
}

// A mapping changes its length.
static void changed(const void *p, size_t from, size_t to)
{
    if ((uintptr_t)p < FIRST || (uintptr_t)p >= BEHIND)
        return;
    mapped += to - from;
    if (mapped == 0)
        next = FIRST;
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
    if (result != MAP_FAILED && (flags & MREMAP_DONTUNMAP) == 0)
        changed(p, from, result == p ? to : 0);
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
    if (result == 0)
        changed(p, bytes, 0);
    log_line("  munmap %p %zu -> %d", p, bytes, result);
    return result;
}

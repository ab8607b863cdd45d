// mremap.c: programs under qemu-user get a kernel before 5.7, which has no MREMAP_DONTUNMAP.
//
// qemu 7.2 passes that flag on, but holds the old range for unmapped from then on: system calls
// refuse it, MADV_DONTNEED there succeeds and does nothing, and vector loads that qemu makes itself
// (SVE, in the C library's memcpy) raise SIGSEGV. A program of ten lines without any allocator
// shows each of them. So the allocator's answer to such a kernel is what is tested there.
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

void *__real_mremap(void *old, size_t old_bytes, size_t new_bytes, int flags, void *to);
void *__wrap_mremap(void *old, size_t old_bytes, size_t new_bytes, int flags, ...);

void *__wrap_mremap(void *old, size_t old_bytes, size_t new_bytes, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    void *to = (flags & MREMAP_FIXED) != 0 ? va_arg(rest, void *) : NULL;
    va_end(rest);
    if ((flags & MREMAP_DONTUNMAP) != 0) {
        errno = EINVAL;
        return MAP_FAILED;
    }
    return __real_mremap(old, old_bytes, new_bytes, flags, to);
}

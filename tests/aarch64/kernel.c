// kernel.c: programs under qemu-user get the kernel that qemu 7.2 really has for them: an old one.
//
// mremap: qemu passes MREMAP_DONTUNMAP (5.7) on, but holds the old range for unmapped from then on:
// system calls refuse it, MADV_DONTNEED there succeeds and does nothing, and vector loads that qemu
// makes itself (SVE, in the C library's memcpy) raise SIGSEGV.
// madvise: qemu says yes to every advice and passes a few on. MADV_DONTNEED_LOCKED (5.18) is not
// among them: it would succeed and leave the old bytes where zeroes are promised.
// A program of ten lines without any allocator shows each of them. So the allocator's answer to a
// kernel that has neither is what is tested there.
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

void *__real_mremap(void *old, size_t old_bytes, size_t new_bytes, int flags, void *to);
void *__wrap_mremap(void *old, size_t old_bytes, size_t new_bytes, int flags, ...);
int __real_madvise(void *p, size_t bytes, int advice);
int __wrap_madvise(void *p, size_t bytes, int advice);

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

// Weak: a test may refuse advice itself.
__attribute__((weak)) int __wrap_madvise(void *p, size_t bytes, int advice)
{
    if (advice == MADV_DONTNEED_LOCKED) {
        errno = EINVAL;
        return -1;
    }
    return __real_madvise(p, bytes, advice);
}

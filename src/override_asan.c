// override_asan.c: the C names of a program that was built with AddressSanitizer, in front of the
// prefixed interface. The asan-user flavour has it instead of the other override files.
//
//   block   | what the user asked for | out of bounds, TAIL or more |
//
//   before AddressSanitizer has started (it calls malloc itself then)   a small buffer, never freed
//   free      marks the block as freed and puts it off: it is reused late, so that its use is seen
//   realloc   always moves: the old pointer is wrong from then on
//   blocks of AddressSanitizer's own malloc (its strdup, its operators new)   go back to it
//
// C++ operators are AddressSanitizer's own, with its own reports. Semantics and errors are those of
// hakmem.h otherwise; glibc's reports (mallinfo, malloc_info, mallopt) are not replaced.

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <seam/os.h>
#include <seam/reports.h>

#include "config.h"
#include "hakmem.h"

#define TAIL ((size_t)16)
#define EARLY_BYTES 65536

static _Alignas(16) char early[EARLY_BYTES];
static size_t early_used; // one thread only: before main

HAK_API void *memalign(size_t align, size_t n);
HAK_API void *valloc(size_t n);
HAK_API void *pvalloc(size_t n);
HAK_API void *reallocarray(void *p, size_t count, size_t size);
HAK_API size_t malloc_usable_size(void *p);

static bool is_early(const void *p)
{
    return (uintptr_t)p - (uintptr_t)early < EARLY_BYTES;
}

// Zeroed; NULL when the buffer is used up.
static void *early_alloc(size_t n)
{
    if (n > EARLY_BYTES - early_used)
        return NULL;
    void *p = early + early_used;
    early_used += round_up(n, 16);
    early_used = min_size(early_used, EARLY_BYTES);
    return p;
}

// What is asked of the allocator for n bytes of the user; too much if there is no such size.
static size_t with_tail(size_t n)
{
    return n > SIZE_MAX - TAIL ? SIZE_MAX : n + TAIL;
}

static void *handed_out(void *p, size_t n)
{
    if (p != NULL)
        hak_reports_narrow(p, n);
    return p;
}

static void free_now(void *p)
{
    hak_reports_leave(true);
    hak_free(p);
    hak_reports_leave(false);
}

HAK_API void *malloc(size_t n)
{
    return hak_reports_ready ? handed_out(hak_malloc(with_tail(n)), n) : early_alloc(n);
}

HAK_API void free(void *p)
{
    if (p == NULL || is_early(p))
        return;
    if (hak_reports_is_other(p)) {
        hak_reports_free_other(p);
        return;
    }
    size_t n, block_bytes = 0;
    bool known = hak_reports_find(p, &n, &block_bytes);
    hak_reports_gave(p, block_bytes);
    void *due = known ? hak_reports_delay(p, block_bytes) : p;
    for (; due != NULL; due = hak_reports_due())
        free_now(due);
}

HAK_API void *calloc(size_t count, size_t size)
{
    size_t n;
    if (__builtin_mul_overflow(count, size, &n)) {
        errno = ENOMEM;
        return NULL;
    }
    return hak_reports_ready ? handed_out(hak_calloc(1, with_tail(n)), n) : early_alloc(n);
}

HAK_API size_t malloc_usable_size(void *p)
{
    if (p == NULL)
        return 0;
    size_t n, block_bytes;
    if (hak_reports_find(p, &n, &block_bytes))
        return n;
    return is_early(p) ? (size_t)(early + early_used - (char *)p) : hak_malloc_usable_size(p);
}

HAK_API void *realloc(void *p, size_t n)
{
    if (p == NULL)
        return malloc(n);
    if (n == 0) {
        free(p);
        return NULL;
    }
    void *to = malloc(n);
    if (to == NULL)
        return NULL;
    memcpy(to, p, min_size(malloc_usable_size(p), n));
    free(p);
    return to;
}

HAK_API void *reallocarray(void *p, size_t count, size_t size)
{
    size_t n;
    if (__builtin_mul_overflow(count, size, &n)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(p, n);
}

HAK_API int posix_memalign(void **out, size_t align, size_t n)
{
    int error = hak_posix_memalign(out, align, with_tail(n));
    if (error == 0)
        hak_reports_narrow(*out, n);
    return error;
}

HAK_API void *aligned_alloc(size_t align, size_t n)
{
    return handed_out(hak_aligned_alloc(align, with_tail(n)), n);
}

HAK_API void *memalign(size_t align, size_t n)
{
    return handed_out(hak_memalign(align, with_tail(n)), n);
}

HAK_API void *valloc(size_t n)
{
    return handed_out(hak_valloc(with_tail(n)), n);
}

// Whole pages are the user's.
HAK_API void *pvalloc(size_t n)
{
    size_t page = os_page_size();
    size_t whole = n > REQUEST_MAX ? n : round_up(max_size(n, 1), page);
    return handed_out(hak_memalign(page, with_tail(whole)), whole);
}

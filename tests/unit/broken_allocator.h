// broken_allocator.h: an allocator on that of the C library, with one planted bug at a time.
#ifndef HAK_UNIT_BROKEN_ALLOCATOR_H
#define HAK_UNIT_BROKEN_ALLOCATOR_H

#include "support.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

#include "../../fuzz/allocator.h"

enum bug {
    NO_BUG,
    OVERLAP,          // the next block begins inside of the last one
    SAME_BLOCK_TWICE, // a live block is handed out again
    NOT_ZEROED,
    LATE_BYTE_NOT_ZEROED, // far inside of a long block
    SMALL_USABLE,
    USABLE_CHANGES,
    MISALIGNED,
    ALIGNED_TO_LESS,
    REALLOC_LOSES_END,
    REALLOC_LOSES_START,
    REALLOC_LOSES_PAGE, // inside of a long block
    FAILED_REALLOC_WRITES,
    FAILED_REALLOC_ERRNO,
    SCRIBBLES,      // malloc writes into a live block
    FREE_SCRIBBLES, // free writes into another live block
    FREE_SETS_ERRNO,
    NULL_FOR_NOTHING,
    BLOCK_FOR_TOO_MUCH,
    PRODUCT_OVERFLOWS,
    WRONG_ERRNO,
    MEMALIGN_SETS_ERRNO,
    BAD_ALIGN_SERVED,
    LOSES_A_FREE, // the count of live blocks stays
    AUDIT_FAILS,
    CONSERVATION,
    CLASS_COUNTS,
    OUTSIDE, // of everything the allocator answers for
};

static enum bug bug;
static void *last, *before_last;
static size_t last_bytes, asked;
static uint64_t live, live_bytes, os_failures;

#define TOO_MUCH ((size_t)1 << 40)

// Every block of a run: a run that ends with a failure frees them here.
static void *owned[64];

static void own(void *p, void *instead)
{
    size_t i = 0;
    while (i < 64 && owned[i] != p)
        i++;
    assert_in_range(i, 0, 63);
    owned[i] = instead;
}

static void *record(void *p, size_t n)
{
    if (p)
        own(NULL, p);
    before_last = last;
    last = p;
    last_bytes = n;
    live += p != NULL;
    live_bytes += p ? malloc_usable_size(p) : 0;
    return p;
}

static void *out_of_memory(void)
{
    errno = bug == WRONG_ERRNO ? EINVAL : ENOMEM;
    return NULL;
}

static void *fake_memalign(size_t align, size_t n)
{
    asked = n;
    if (n > TOO_MUCH || align > TOO_MUCH)
        return bug == BLOCK_FOR_TOO_MUCH ? record(malloc(16), 16) : out_of_memory();
    if (bug == NULL_FOR_NOTHING && n == 100)
        return out_of_memory();
    if (bug == SAME_BLOCK_TWICE && n == 100 && last)
        return last;
    if (bug == OVERLAP && n == 100 && last)
        return (char *)last + (last_bytes - 1) / 16 * 16;
    if (bug == SCRIBBLES && n == 100 && last)
        ((char *)last)[last_bytes - 1] ^= 1;
    size_t power = 16;
    while (power < align)
        power *= 2;
    char *p = record(memalign(power, n + 16), n);
    if (bug == MISALIGNED && n == 100)
        return p + 8;
    if (bug == ALIGNED_TO_LESS && align > 16)
        return p + power / 2;
    return p;
}

static void *fake_malloc(size_t n)
{
    return fake_memalign(16, n);
}

static void *fake_calloc(size_t count, size_t size)
{
    size_t n;
    if (__builtin_mul_overflow(count, size, &n) && bug != PRODUCT_OVERFLOWS)
        return out_of_memory();
    char *p = fake_malloc(n);
    if (p)
        memset(p, 0, n);
    if (bug == NOT_ZEROED && n)
        p[n - 1] = 1;
    if (bug == LATE_BYTE_NOT_ZEROED && n > 5000)
        p[5000] = 1;
    return p;
}

static void fake_free(void *p)
{
    if (p && bug == FREE_SCRIBBLES && before_last && p != before_last)
        *(char *)before_last ^= 1;
    if (p == last)
        last = NULL;
    if (p == before_last)
        before_last = NULL;
    live -= p && bug != LOSES_A_FREE;
    live_bytes -= p ? malloc_usable_size(p) : 0;
    if (p)
        own(p, NULL);
    free(p);
    if (bug == FREE_SETS_ERRNO)
        errno = ENOENT;
}

static void *fake_realloc(void *p, size_t n)
{
    if (!p)
        return fake_malloc(n);
    if (n == 0) {
        fake_free(p);
        return NULL;
    }
    if (n > TOO_MUCH) {
        if (bug == FAILED_REALLOC_WRITES)
            *(char *)p ^= 1;
        return bug == FAILED_REALLOC_ERRNO ? NULL : out_of_memory();
    }
    size_t old = malloc_usable_size(p) - 16;
    size_t kept = old < n ? old : n;
    char *q = fake_malloc(n);
    memcpy(q, p, kept);
    if (bug == REALLOC_LOSES_END)
        q[(kept < 24 ? kept : 24) - 1] ^= 1;
    if (bug == REALLOC_LOSES_START)
        q[0] ^= 1;
    if (bug == REALLOC_LOSES_PAGE && kept > ((size_t)1 << 21))
        memset(q + ((size_t)1 << 20), 0, 4096);
    fake_free(p);
    return q;
}

static void *fake_reallocarray(void *p, size_t count, size_t size)
{
    size_t n;
    return __builtin_mul_overflow(count, size, &n) ? out_of_memory() : fake_realloc(p, n);
}

static void *fake_aligned_alloc(size_t align, size_t n)
{
    if ((align == 0 || (align & (align - 1)) != 0) && bug != BAD_ALIGN_SERVED) {
        errno = EINVAL;
        return NULL;
    }
    return fake_memalign(align, n);
}

static int fake_posix_memalign(void **out, size_t align, size_t n)
{
    int before = errno;
    if (align % sizeof(void *) != 0 || align == 0 || (align & (align - 1)) != 0)
        return EINVAL;
    void *p = fake_memalign(align, n);
    int error = errno;
    if (bug != MEMALIGN_SETS_ERRNO)
        errno = before;
    if (p)
        *out = p;
    return p ? 0 : error;
}

static void *fake_valloc(size_t n)
{
    return fake_memalign(4096, n);
}

static void *fake_pvalloc(size_t n)
{
    return n > TOO_MUCH ? out_of_memory() : fake_memalign(4096, (n + 4095) / 4096 * 4096);
}

static void fake_free_sized(void *p, size_t n)
{
    (void)n;
    fake_free(p);
}

static void fake_free_aligned_sized(void *p, size_t align, size_t n)
{
    (void)align, (void)n;
    fake_free(p);
}

static size_t fake_usable_size(void *p)
{
    static size_t calls;
    if (bug == MISALIGNED || bug == ALIGNED_TO_LESS || bug == SAME_BLOCK_TWICE || bug == OVERLAP)
        return asked; // p may be no block of the C library
    size_t n = malloc_usable_size(p) - 16;
    return bug == SMALL_USABLE ? n / 2 : bug == USABLE_CHANGES ? n - calls++ % 2 : n;
}

static int fake_trim(size_t pad)
{
    (void)pad;
    return 0;
}

static void fake_flush(void)
{
}

static bool fake_audit(struct hak_audit_report *out)
{
    *out = (struct hak_audit_report){ .capacity = live + 5, .live = live, .cached = 2, .free = 3 };
    if (bug == AUDIT_FAILS) {
        out->errors = 1;
        strcpy(out->first_error, "planted");
    }
    if (bug == CONSERVATION)
        out->free = 2;
    return bug != AUDIT_FAILS;
}

static void fake_get_stats(struct hak_stats *out)
{
    *out = (struct hak_stats){ .reserved_bytes = TOO_MUCH, .live_bytes = live_bytes };
}

static bool fake_get_class_stats(unsigned i, struct hak_class_stats *out)
{
    *out = (struct hak_class_stats){ .capacity = 5,
                                     .live = 4,
                                     .cached = bug == CLASS_COUNTS ? 2 : 1 };
    return i < 3;
}

static bool fake_is_mapped(const void *p)
{
    (void)p;
    return false;
}

static bool fake_covers(const void *p, size_t usable)
{
    (void)p;
    return bug != OUTSIDE || usable < 100;
}

static void fake_fail_os(uint64_t first, uint64_t count)
{
    (void)first, (void)count;
}

static void fake_pause_os(bool paused)
{
    (void)paused;
}

static uint64_t fake_os_failed(void)
{
    return os_failures;
}

static void fake_tick(uint64_t ms)
{
    (void)ms;
}

static const struct allocator fake = {
    .malloc = fake_malloc,
    .calloc = fake_calloc,
    .realloc = fake_realloc,
    .reallocarray = fake_reallocarray,
    .aligned_alloc = fake_aligned_alloc,
    .memalign = fake_memalign,
    .posix_memalign = fake_posix_memalign,
    .valloc = fake_valloc,
    .pvalloc = fake_pvalloc,
    .free = fake_free,
    .free_sized = fake_free_sized,
    .free_aligned_sized = fake_free_aligned_sized,
    .usable_size = fake_usable_size,
    .trim = fake_trim,
    .flush = fake_flush,
    .audit = fake_audit,
    .get_stats = fake_get_stats,
    .get_class_stats = fake_get_class_stats,
    .covers = fake_covers,
    .is_mapped = fake_is_mapped,
    .fail_os = fake_fail_os,
    .pause_os = fake_pause_os,
    .os_failed = fake_os_failed,
    .tick = fake_tick,
};

#endif

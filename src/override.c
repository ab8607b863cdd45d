// override.c: the standard C names, on top of the prefixed interface (hakmem.h).
//
// Compiled into libhakmem.so and libhakmem.a only; builds that keep the C library's malloc beside
// ours leave this file out and use the prefixed names.
//
//   malloc, free      the hit path itself, inlined (front.h): no jump more than with the prefix
//   the others        a jump to the function of the same name with prefix
//   mallinfo*, malloc_info, malloc_stats, mallopt   glibc's reports, filled from our statistics
//
// No state. Semantics, errors and thread rules are those of hakmem.h; where glibc, POSIX and ISO C
// differ, glibc's manual decides, because programs built for it are what this is preloaded into.
// glibc 2.26 removed cfree: it is not defined here either.
//
// In glibc's terms (mallinfo2, malloc_info): "arena" is the memory of slabs, "fast" are blocks in
// the magazines of threads, "mmap" are large and huge blocks, "rest" are free blocks of slabs.
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "front.h"
#include "hakmem.h"

// C23; the system's headers do not have them yet.
HAK_API void free_sized(void *p, size_t n);
HAK_API void free_aligned_sized(void *p, size_t align, size_t n);

HAK_API void *malloc(size_t n)
{
    return front_malloc(n);
}

HAK_API void free(void *p)
{
    front_free(p);
}

HAK_API void *calloc(size_t count, size_t size)
{
    return hak_calloc(count, size);
}

HAK_API void *realloc(void *p, size_t n)
{
    return hak_realloc(p, n);
}

HAK_API void *reallocarray(void *p, size_t count, size_t size)
{
    return hak_reallocarray(p, count, size);
}

HAK_API void free_sized(void *p, size_t n)
{
    hak_free_sized(p, n);
}

HAK_API void free_aligned_sized(void *p, size_t align, size_t n)
{
    hak_free_aligned_sized(p, align, n);
}

HAK_API int posix_memalign(void **out, size_t align, size_t n)
{
    return hak_posix_memalign(out, align, n);
}

HAK_API void *aligned_alloc(size_t align, size_t n)
{
    return hak_aligned_alloc(align, n);
}

HAK_API void *memalign(size_t align, size_t n)
{
    return hak_memalign(align, n);
}

HAK_API void *valloc(size_t n)
{
    return hak_valloc(n);
}

HAK_API void *pvalloc(size_t n)
{
    return hak_pvalloc(n);
}

HAK_API size_t malloc_usable_size(void *p)
{
    return hak_malloc_usable_size(p);
}

HAK_API int malloc_trim(size_t pad)
{
    return hak_malloc_trim(pad);
}

// Tuning of glibc's own structures has no meaning here: its parameters are accepted and change
// nothing, so that programs which insist on success run. Others are refused.
HAK_API int mallopt(int parameter, int value)
{
    (void)value;
    bool known = parameter >= M_ARENA_MAX && parameter <= M_KEEP && parameter != 0;
    return known ? 1 : 0;
}

// ---- reports ----

// What is subtracted was read at another moment than what it is subtracted from.
static uint64_t minus(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

// Sums over size classes, in the report's terms.
struct class_sums {
    uint64_t live_bytes;
    uint64_t cached_blocks;
    uint64_t free_blocks; // neither handed out nor cached
    uint64_t free_bytes;
};

static uint64_t free_blocks_of(const struct hak_class_stats *c)
{
    return minus(c->capacity, c->live + c->cached);
}

static struct class_sums sum_classes(void)
{
    struct class_sums sums = { 0 };
    struct hak_class_stats c;
    for (unsigned i = 0; hak_get_class_stats(i, &c); i++) {
        sums.live_bytes += c.live * c.block_bytes;
        sums.cached_blocks += c.cached;
        sums.free_blocks += free_blocks_of(&c);
        sums.free_bytes += free_blocks_of(&c) * c.block_bytes;
    }
    return sums;
}

HAK_API struct mallinfo2 mallinfo2(void)
{
    struct hak_stats s;
    hak_get_stats(&s);
    struct class_sums classes = sum_classes();
    uint64_t mapped = minus(s.live_bytes, classes.live_bytes);
    uint64_t slab_bytes = minus(s.committed_bytes, mapped);
    return (struct mallinfo2){
        .arena = slab_bytes,
        .ordblks = classes.free_blocks,
        .smblks = classes.cached_blocks,
        .hblks = s.large_live + s.huge_live,
        .hblkhd = mapped,
        .fsmblks = s.cached_bytes,
        .uordblks = classes.live_bytes,
        .fordblks = minus(slab_bytes, classes.live_bytes),
        .keepcost = s.empty_bytes,
    };
}

static int saturate(size_t n)
{
    return n > INT_MAX ? INT_MAX : (int)n;
}

// The old form has no room for more than 2 GiB: INT_MAX says "that or more".
HAK_API struct mallinfo mallinfo(void)
{
    struct mallinfo2 m = mallinfo2();
    return (struct mallinfo){
        .arena = saturate(m.arena),
        .ordblks = saturate(m.ordblks),
        .smblks = saturate(m.smblks),
        .hblks = saturate(m.hblks),
        .hblkhd = saturate(m.hblkhd),
        .fsmblks = saturate(m.fsmblks),
        .uordblks = saturate(m.uordblks),
        .fordblks = saturate(m.fordblks),
        .keepcost = saturate(m.keepcost),
    };
}

HAK_API void malloc_stats(void)
{
    hak_print_stats(2);
}

static void print_totals(FILE *out, const struct hak_stats *s, const struct class_sums *classes)
{
    fprintf(out, "<total type=\"fast\" count=\"%" PRIu64 "\" size=\"%" PRIu64 "\"/>\n",
            classes->cached_blocks, s->cached_bytes);
    fprintf(out, "<total type=\"rest\" count=\"%" PRIu64 "\" size=\"%" PRIu64 "\"/>\n",
            classes->free_blocks, classes->free_bytes);
    fprintf(out, "<total type=\"mmap\" count=\"%" PRIu64 "\" size=\"%" PRIu64 "\"/>\n",
            s->large_live + s->huge_live, minus(s->live_bytes, classes->live_bytes));
    fprintf(out, "<system type=\"current\" size=\"%" PRIu64 "\"/>\n", s->committed_bytes);
    fprintf(out, "<system type=\"max\" size=\"%" PRIu64 "\"/>\n", s->committed_peak_bytes);
    fprintf(out, "<aspace type=\"total\" size=\"%" PRIu64 "\"/>\n", s->reserved_bytes);
    fprintf(out, "<aspace type=\"mprotect\" size=\"%" PRIu64 "\"/>\n", s->committed_bytes);
}

// glibc's elements and attributes; one <heap>, because all heaps share their SuperSlabs. A stream
// that fails reports it as streams do (ferror).
HAK_API int malloc_info(int options, FILE *out)
{
    if (options != 0)
        return EINVAL;
    fputs("<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>\n", out);
    struct hak_class_stats c;
    size_t above = 0;
    for (unsigned i = 0; hak_get_class_stats(i, &c); i++) {
        uint64_t blocks = free_blocks_of(&c);
        if (blocks != 0)
            fprintf(out,
                    "  <size from=\"%zu\" to=\"%zu\" total=\"%" PRIu64 "\" count=\"%" PRIu64
                    "\"/>\n",
                    above + 1, c.block_bytes, blocks * c.block_bytes, blocks);
        above = c.block_bytes;
    }
    fputs("</sizes>\n", out);
    // Taken after the lines above, whose stream may have allocated its buffer.
    struct hak_stats s;
    hak_get_stats(&s);
    struct class_sums classes = sum_classes();
    print_totals(out, &s, &classes);
    fputs("</heap>\n", out);
    print_totals(out, &s, &classes);
    fputs("</malloc>\n", out);
    return 0;
}

// alloc.c: the tiers behind one request.
//
//   n <= CLASS_SIZE_MAX    magazine -> refill (heap.c)
//   n <= LARGE_SIZE_MAX    units of one SuperSlab (large.c)
//   above                  units of several (large.c), else a mapping of its own (mapped.c)
//
// When a class has no slab left: units of SuperSlabs already begun, then idle heaps are swept, then
// a new SuperSlab; as a last resort this thread's magazines are flushed, every idle heap is swept,
// and what that freed is searched exhaustively. Only then the request fails.
//
// Each slow path looks at the clock: about twice per purge delay one thread gives back what has
// been free for that long.

#include "alloc.h"

#include <errno.h>

#include <seam/os.h>
#include <seam/sanitizer.h>
#include <seam/tls.h>

#include "attach.h"
#include "cache.h"
#include "empty.h"
#include "fault.h"
#include "harden.h"
#include "heaps.h"
#include "large.h"
#include "mapped.h"
#include "options.h"
#include "outside.h"
#include "profile.h"
#include "profiled.h"
#include "sized.h"
#include "sweep.h"
#include "waiting.h"
#include "watched.h"

struct heap *hak_alloc_enter(void)
{
    struct heap *h = hak_enter();
    if (likely(h != NULL))
        h->now_ms = WITHOUT_PURGE ? 0 : os_clock_ms();
    return h;
}

void hak_alloc_leave(struct heap *h)
{
    if (!WITHOUT_PURGE && unlikely(h->now_ms - h->trimmed_ms > hak_options.purge_delay_ms)) {
        if (MITIGATE_SWEEP)
            hak_sweep(h, SWEEP_BYTES_MAX);
        hak_cache_trim(h);
    }
    if (!WITHOUT_PURGE && unlikely(hak_pool_tick(h->now_ms, hak_options.purge_delay_ms))) {
        hak_heap_release_kept(h);
        hak_heaps_sweep(h, TAG_NONE, SWEEP_HEAPS_MAX);
        hak_heaps_purge(h, hak_options.purge_delay_ms, SIZE_MAX);
    }
    hak_leave(h);
}

static void *out_of_memory(void)
{
    errno = ENOMEM;
    return NULL;
}

// Everything that is free somewhere and that this thread may touch goes to the pool.
static void scrape(struct heap *h, unsigned class_index)
{
    hak_heap_flush_all(h);
    hak_heaps_sweep(h, class_index, HEAPS_MAX);
}

// ---- size classes ----

static void *refill(struct heap *h, unsigned class_index, bool *zero)
{
    if (!hak_cache_grow(h, class_index))
        return NULL;
    void *p = hak_heap_refill(h, class_index, POOL_BEGUN, zero);
    if (p == NULL && hak_heaps_sweep(h, class_index, SWEEP_HEAPS_MAX))
        p = hak_heap_refill(h, class_index, POOL_BEGUN, zero);
    if (p == NULL)
        p = hak_heap_refill(h, class_index, POOL_ANY, zero);
    if (p == NULL) {
        scrape(h, class_index);
        p = hak_heap_refill(h, class_index, POOL_EXHAUSTIVE, zero);
    }
    return p;
}

// Enters the gate, so the thread may have got its heap only now.
COLD static void *alloc_class_gated(unsigned class_index, bool *zero)
{
    struct heap *h = hak_alloc_enter();
    *zero = false;
    if (h == NULL)
        return NULL;
    struct magazine *m = &h->magazines[class_index];
    hak_heap_before(hak_heap_counts(h, class_index), hak_magazine_count(m));
    void *p = hak_magazine_pop(m);
    if (p == NULL)
        p = refill(h, class_index, zero);
    struct class_counters *n = hak_heap_counts(h, class_index); // the class has them from now on
    hak_heap_after(n, hak_magazine_count(m));
    hak_count(likely(p != NULL) ? &n->malloc_misses : &h->counters.failures, 1);
    hak_alloc_leave(h);
    return p;
}

// A block of the class for a request of n bytes; *zero: it reads as zero.
NOINLINE static void *alloc_class(size_t n, unsigned class_index, bool *zero)
{
    *zero = false;
    void *p = hak_magazine_pop_any(&tls_heap()->magazines[class_index]);
    if (unlikely(p == NULL))
        p = alloc_class_gated(class_index, zero);
    if (unlikely(p == NULL))
        return out_of_memory();
    if (MITIGATE_BLOCKS) {
        hak_harden_take(p, class_index, n, *zero);
        *zero |= MITIGATE_ZERO;
    }
    sanitize_take(p, n, hak_class_bytes(class_index));
    return p;
}

// The same at a multiple of `align`, as those blocks lie; perhaps a guarded one or a sample.
ALWAYS_INLINE void *alloc_class_or_watched(size_t n, unsigned class_index, size_t align, bool watch,
                                           bool *zero)
{
    void *p = watch ? hak_watched_class(class_index, n, align, zero) : NULL;
    return p != NULL ? p : alloc_class(n, class_index, zero);
}

// ---- large and huge ----

static void *alloc_units(struct heap *h, size_t n, size_t align, bool zero)
{
    if (n <= LARGE_SIZE_MAX && align <= SUPERSLAB_SIZE / 2)
        return hak_large_alloc(h, n, align, zero);
    return hak_huge_alloc(h, n, align, zero);
}

COLD static void *alloc_large(size_t n, size_t align, bool zero)
{
    if (n > REQUEST_MAX || align > REQUEST_MAX)
        return out_of_memory();
    struct heap *h = hak_alloc_enter();
    if (h == NULL)
        return out_of_memory();
    bool in_arena = align <= ARENA_ALIGN_MAX;
    void *p = in_arena ? alloc_units(h, n, align, zero) : NULL;
    if (p == NULL && in_arena) {
        scrape(h, TAG_NONE);
        p = alloc_units(h, n, align, zero);
    }
    if (p == NULL && (n > LARGE_SIZE_MAX || align > SUPERSLAB_SIZE / 2))
        p = hak_mapped_alloc(n, align);
    if (p == NULL)
        hak_count(&h->counters.failures, 1);
    hak_alloc_leave(h);
    if (p == NULL)
        return out_of_memory();
    if (hak_is_watched())
        hak_watched_large(p, n);
    return p;
}

// A block of no bytes, or NULL: then one of a byte will do.
static void *alloc_empty(size_t align)
{
    if (unlikely(!hak_started())) {
        struct heap *h = hak_enter();
        if (h == NULL)
            return NULL;
        hak_leave(h);
    }
    return hak_empty_alloc(align);
}

static inline void *alloc_small_or_large(size_t n, bool watch)
{
    bool zero;
    void *p;
    if (MITIGATE_EMPTY && unlikely(n == 0) && (p = alloc_empty(1)) != NULL)
        return p;
    if (likely(n <= CLASS_REQUEST_MAX))
        return alloc_class_or_watched(n, hak_class_of(n + CANARY_BYTES), MALLOC_ALIGN, watch,
                                      &zero);
    return alloc_large(n, 1, false);
}

NOINLINE static void *alloc_watched_miss(size_t n)
{
    return alloc_small_or_large(n, true);
}

// A leaf but for its tail call.
NOINLINE static void *alloc_watched(size_t n)
{
    void *p = hak_watched_hit(n);
    return p != NULL ? p : alloc_watched_miss(n);
}

NOINLINE void *hak_alloc_slow(size_t n)
{
    return hak_is_watched() ? alloc_watched(n) : alloc_small_or_large(n, false);
}

NOINLINE void *hak_alloc_missed(size_t n, struct heap *h, size_t offset)
{
    if (likely(hak_heap_is_magazine(offset))) {
        bool zero;
        return alloc_class(n, hak_heap_class_at(offset), &zero);
    }
    void *p = hak_watched_decoy(h, offset, n);
    return likely(p != NULL) ? p : hak_alloc_slow(n);
}

static void *make_zero(void *p, size_t n, bool is_zero)
{
    if (p == NULL)
        return NULL;
    sanitize_defined(p, n);
    return is_zero ? p : __builtin_memset(p, 0, n);
}

NOINLINE static void *alloc_zeroed(size_t n)
{
    bool zero = true;
    void *p;
    if (MITIGATE_EMPTY && unlikely(n == 0) && (p = alloc_empty(1)) != NULL)
        return p;
    p = n <= CLASS_REQUEST_MAX ? alloc_class_or_watched(n, hak_class_of(n + CANARY_BYTES),
                                                        MALLOC_ALIGN, hak_is_watched(), &zero)
                               : alloc_large(n, 1, true);
    return make_zero(p, n, zero);
}

void *hak_alloc_zeroed(size_t n)
{
    void *p = hak_is_watched() ? hak_watched_hit(n) : NULL;
    return p != NULL ? __builtin_memset(p, 0, n) : alloc_zeroed(n);
}

NOINLINE void *hak_alloc_zeroed_missed(size_t n, struct heap *h, size_t offset)
{
    if (likely(hak_heap_is_magazine(offset))) {
        bool zero;
        void *q = alloc_class(n, hak_heap_class_at(offset), &zero);
        return make_zero(q, n, zero);
    }
    void *p = hak_watched_decoy(h, offset, n);
    return p != NULL ? __builtin_memset(p, 0, n) : hak_alloc_zeroed(n);
}

void *hak_alloc_aligned(size_t align, size_t n)
{
    if (align <= MALLOC_ALIGN)
        return hak_alloc_slow(n);
    bool zero;
    void *p;
    if (MITIGATE_EMPTY && unlikely(n == 0) && (p = alloc_empty(align)) != NULL)
        return p;
    unsigned class_index = hak_started() ? hak_class_request(n, align) : 0;
    if (class_index == 0 && !hak_started()) { // the table of classes comes with the first heap
        struct heap *h = hak_enter();
        if (h == NULL)
            return out_of_memory();
        hak_leave(h);
        class_index = hak_class_request(n, align);
    }
    return class_index != 0 ? alloc_class_or_watched(n, class_index, align, hak_is_watched(), &zero)
                            : alloc_large(n, align, false);
}

// ---- free ----

// p lies in the arena, where no block is: what was there?
_Noreturn COLD static void fault_no_block(void *p)
{
    uint32_t unit = hak_unit_of(p);
    if (unit / SUPERSLAB_UNITS < hak_superslabs_begun()) {
        const struct slab *s = hak_slab_of_unit(unit); // as its last life left it
        unsigned before = own_load(&s->class_index);
        bool was_block = before >= TAG_LARGE && p == hak_unit_base(unit);
        if (before >= CLASS_FIRST && before <= CLASS_LAST)
            was_block = hak_slab_index(s, p) < own_load(&s->handed);
        if (was_block)
            hak_fault(FAULT_DOUBLE_FREE, p, before);
    }
    hak_fault(FAULT_NEVER_ALLOCATED, p, TAG_NONE);
}

static void free_large(struct heap *h, void *p, unsigned tag)
{
    struct slab *s = hak_large_record(p);
    if (likely(s != NULL && hak_large_free(h, s)))
        return;
    if (hak_tag_of(p) == TAG_NONE) // another thread has freed it since the tag was read
        fault_no_block(p);
    hak_fault(s != NULL ? FAULT_DOUBLE_FREE : FAULT_INTERIOR_FREE, p, tag);
}

static void free_block(struct heap *h, void *p, unsigned tag)
{
    struct magazine *m = &h->magazines[tag];
    if (!hak_magazine_push(m, p) && !(hak_cache_make_room(h, tag) && hak_magazine_push(m, p)))
        hak_heap_free_one(h, tag, p);
    struct class_counters *n = hak_heap_counts(h, tag);
    hak_heap_after(n, hak_magazine_count(m));
    hak_count(&n->free_misses, 1);
}

// Without a heap (metadata memory is exhausted) any block can be freed as another thread's.
static void free_without_heap(void *p, unsigned tag)
{
    struct slab *s = hak_slab_of_unit(hak_unit_of(p));
    uint32_t index = hak_slab_index(s, p);
    if (index == UINT32_MAX)
        hak_fault(FAULT_INTERIOR_FREE, p, tag);
    if (hak_remote_mark(s, index / 64, (uint64_t)1 << index % 64) != 0)
        hak_fault(FAULT_DOUBLE_FREE, p, tag);
    hak_remote_notify(s);
    hak_heaps_count_guest_free();
}

NOINLINE void hak_free_slow(void *p, const void *call_site)
{
    if (p == NULL)
        return;
    if (unlikely(hak_arena_lacks(p))) {
        hak_outside_free(p, call_site);
        return;
    }
    unsigned tag = hak_tag_of(p);
    if (mistake(tag == TAG_NONE))
        fault_no_block(p);
    if (tag <= CLASS_LAST)
        sanitize_give(p, hak_class_bytes(tag));
    struct heap *h = hak_alloc_enter();
    if (unlikely(h == NULL))
        hak_enter_as_guest();
    if (unlikely(tag == TAG_PROFILED))
        hak_watched_free(h, p);
    else if (tag > CLASS_LAST)
        free_large(h, p, tag);
    else if (likely(h != NULL))
        free_block(h, p, tag);
    else
        free_without_heap(p, tag);
    if (unlikely(h == NULL))
        hak_leave_as_guest();
    else
        hak_alloc_leave(h);
}

// ---- hardened ----

// Puts a block off that was checked, and frees what need not wait any longer.
NOINLINE static void put_off(struct heap *h, void *p, unsigned tag)
{
    for (p = hak_waiting_add(h, p, tag); unlikely(p != NULL); p = hak_waiting_due(h))
        hak_free_slow(p, NULL);
}

// The same of a block of at most QUARANTINE_SHORT_MAX bytes: a leaf but for its tail calls.
ALWAYS_INLINE void put_off_short(struct heap *h, void *p, unsigned tag)
{
    if (MITIGATE_QUARANTINE) {
        struct heap_extra *extra = hak_heap_extra(h);
        if (!hak_waiting_is_easy(h)) {
            put_off(h, p, tag);
            return;
        }
        uint32_t at = hak_random_next(&extra->random, QUARANTINE_BITS);
        p = hak_quarantine_add(&extra->quarantines[0], at, p);
        if (p == NULL)
            return;
        tag = hak_tag_of(p);
    }
    if (unlikely(hak_waiting_push(h, p, tag) != NULL))
        hak_free_slow(p, NULL);
}

NOINLINE static void free_long(void *p, unsigned tag)
{
    struct heap *h = tls_heap();
    (void)hak_harden_give(p, tag);
    if (tag <= hak_class_of(QUARANTINE_SHORT_MAX))
        put_off_short(h, p, tag);
    else
        put_off(h, p, tag);
}

// A leaf but for its tail calls, as hak_take_hardened is: this is what most frees are.
NOINLINE void hak_free_hardened(void *p, unsigned tag)
{
    if (!hak_harden_is_short(tag)) {
        free_long(p, tag);
        return;
    }
    struct heap *h = tls_heap();
    (void)hak_harden_give(p, tag);
    put_off_short(h, p, tag);
}

NOINLINE void hak_free_sized_hardened(void *p, unsigned tag, size_t n)
{
    struct heap *h = tls_heap();
    if (unlikely(hak_harden_give(p, tag) != max_size(n, 1)))
        hak_fault(FAULT_SIZE_MISMATCH, p, tag);
    put_off(h, p, tag);
}

NOINLINE static void *take_long(void *p, unsigned class_index, size_t n)
{
    hak_harden_take(p, class_index, n, false);
    return p;
}

NOINLINE void *hak_take_hardened(void *p, unsigned class_index, size_t n)
{
    if (!hak_harden_is_short(class_index))
        return take_long(p, class_index, n);
    hak_harden_take(p, class_index, n, false);
    return p;
}

bool hak_trim(size_t pad)
{
    struct heap *h = hak_alloc_enter();
    if (h == NULL)
        return false;
    if (MITIGATE_SWEEP)
        hak_sweep(h, SIZE_MAX);
    scrape(h, TAG_NONE);
    size_t empty = hak_pool_empty_units();
    size_t keep = round_up(min_size(pad, hak_arena.bytes), UNIT_SIZE) >> UNIT_SHIFT;
    h->now_ms = os_clock_ms();
    size_t purged = empty > keep ? hak_heaps_purge(h, 0, empty - keep) : 0;
    hak_leave(h);
    return purged != 0;
}

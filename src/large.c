// large.c: blocks that are runs of units.
//
//   large:  |u|u|u|u|u|            anywhere in one SuperSlab
//   huge:   |SuperSlab|SuperSlab|u|u|      the last SuperSlab's other units stay with the pool
//
//   bytes <= units * UNIT_SIZE;  bytes > (units - 1) * UNIT_SIZE unless aligned beyond classes
//   live == 1 from hand-out to free: the exchange to 0 decides which of two racing frees is told
//   hardened: |guard|u|u|u|..canary|guard|     a canary behind `bytes`; one page at least behind
//             it, and units before the block, are guards: inaccessible, of random length
//
// Only the record of the first unit is written, and the tags of all: a huge block does not touch
// the records of its inner units. The block's holder owns the record's fields.

#include "large.h"

#include <seam/os.h>
#include <seam/sanitizer.h>

#include "fence.h"
#include "harden.h"
#include "heaps.h"
#include "pool.h"
#include "profile.h"
#include "types.h"

static struct {
    struct atomic_u64 large, huge, bytes; // freed without a heap
} guests;

void hak_large_start(void)
{
    init_cell(&guests.large, 0);
    init_cell(&guests.huge, 0);
    init_cell(&guests.bytes, 0);
}

// Bytes of a block of n bytes: whole pages. A canary has room there, unless a guard follows.
static size_t end_for(size_t n)
{
    size_t canary = MITIGATE_GUARDS ? 0 : CANARY_BYTES;
    return round_up(max_size(n, 1) + canary, os_page_size());
}

static size_t end_of(const struct slab *s)
{
    return end_for(own_load(&s->bytes));
}

size_t hak_large_usable(size_t n)
{
    return MITIGATE_CANARY ? max_size(n, 1) : end_for(n);
}

static uint32_t units_for(size_t n)
{
    if (MITIGATE_CANARY || MITIGATE_GUARDS)
        n = end_for(n);
    if (MITIGATE_GUARDS) // room for one page at least
        n += os_page_size();
    return (uint32_t)(round_up(max_size(n, 1), UNIT_SIZE) >> UNIT_SHIFT);
}

// ---- canary: behind the bytes that were asked for, to the end of their last page ----

// Bytes between the end of a block that grew and its guard, the first of them: they are zero.
static size_t room_behind(const struct slab *s, size_t end)
{
    if (!MITIGATE_GUARDS || !FREE_IS_ZERO || own_load(&s->touched) == 0)
        return 0;
    return min_size(hak_fence_open_bytes(s) - end, CANARY_ROOM);
}

static void check_canary(const struct slab *s)
{
    size_t n = own_load(&s->bytes), end = end_for(n), room = room_behind(s, end);
    char *base = hak_slab_base(s);
    sanitize_open(base + n, end + room - n);
    hak_canary_check_behind(base, own_load(&s->class_index), n, end - n);
    hak_canary_check_zero(base, own_load(&s->class_index), end, room);
}

// The block has n bytes from now on; the pages to its end are accessible. Nothing is left of the
// canary that it had.
static void set_bytes(struct slab *s, size_t n)
{
    if (MITIGATE_CANARY) {
        char *base = hak_slab_base(s);
        size_t end = end_for(n), had = own_load(&s->bytes);
        sanitize_open(base + min_size(n, had), end - min_size(n, had));
        if (had < n)
            __builtin_memset(base + had, 0, min_size(end_of(s), n) - had);
        __builtin_memset(base + n, 0, end - n);
        hak_canary_write_behind(base, n, end - n);
    }
    own_store(&s->bytes, hak_large_usable(n));
}

// The pages to the block's end are accessible, and behind the n bytes they are zero, or CANARY is
// not alone.
static void *hand_out(struct heap *h, struct slab *s, size_t n)
{
    if (MITIGATE_CANARY) {
        size_t end = end_for(n);
        n = max_size(n, 1);
        sanitize_open(hak_slab_base(s) + n, end - n);
        if (!FREE_IS_ZERO)
            __builtin_memset(hak_slab_base(s) + n, 0, end - n);
        hak_canary_write_behind(hak_slab_base(s), n, end - n);
    }
    store_relaxed(LARGE_LIVE, &s->live,
                  LIVE_PLAIN); // the user passes the pointer on with its own order
    bool large = own_load(&s->state) == SLAB_LARGE;
    hak_count(large ? &h->counters.large : &h->counters.huge, 1);
    hak_count(&h->counters.large_bytes, end_of(s));
    sanitize_take(hak_slab_base(s), n, own_load(&s->units) * UNIT_SIZE);
    return hak_slab_base(s);
}

// A block of units without memory gets that of a block that is held back, if there is such. False:
// that went wrong, and the units cannot be used now.
static bool borrow(struct heap *h, struct slab *s, size_t end)
{
    struct held *held = &hak_heap_extra(h)->held;
    if (hak_held_lend(held, s, end) || os_commit(hak_slab_base(s), end))
        return true;
    hak_held_keep(held, s, 0, h->now_ms);
    return false;
}

// `lead`: units of the run that lie before the block.
static void *hand_out_run(struct heap *h, const struct run *r, uint32_t lead, enum slab_state state,
                          size_t n)
{
    struct slab *s = hak_slab_at(r->unit + lead);
    hak_slab_begin_block(s, state, r->units - lead, hak_large_usable(n));
    if (MITIGATE_GUARDS)
        hak_fence_set(s, lead, end_for(n));
    if (MITIGATE_QUARANTINE && r->warm == 0 && !borrow(h, s, end_for(n)))
        return NULL;
    return hand_out(h, s, n);
}

// A block that the heap freed a moment ago and kept, if one fits.
static void *hand_out_recent(struct heap *h, size_t n, size_t align, bool zero)
{
    struct slab *s = KEEPS_RECENT ? hak_recent_take(&h->recent, units_for(n)) : NULL;
    if (s == NULL)
        return NULL;
    if (((uintptr_t)hak_slab_base(s) & (align - 1)) != 0) {
        hak_recent_keep(&h->recent, s, h->now_ms);
        return NULL;
    }
    hak_count(&h->counters.large_taken[LARGE_KEPT], 1);
    own_store(&s->bytes, hak_large_usable(n));
    if (zero) {
        sanitize_open(hak_slab_base(s), n);
        __builtin_memset(hak_slab_base(s), 0, n);
    }
    return hand_out(h, s, n);
}

// One that was held back long enough.
static void *hand_out_held(struct heap *h, size_t n, const struct held_request *want)
{
    struct slab *s = hak_held_take(&hak_heap_extra(h)->held, want);
    if (s == NULL)
        return NULL;
    own_store(&s->bytes, hak_large_usable(n));
    return hand_out(h, s, n);
}

static void *hand_out_again(struct heap *h, enum slab_state state, size_t n, size_t align,
                            bool zero)
{
    if (!HEAP_HAS_HELD)
        return hand_out_recent(h, n, align, zero);
    struct held_request want = { .state = state,
                                 .units = units_for(n),
                                 .spare = HELD_SPARE_UNITS,
                                 .end = end_for(n),
                                 .align = align,
                                 .zero = zero };
    return hand_out_held(h, n, &want);
}

void *hak_large_alloc_growing(struct heap *h, size_t n)
{
    uint32_t units = units_for(n);
    struct held_request want = { .state = SLAB_LARGE,
                                 .units = units,
                                 .spare = HELD_GROWTH * units,
                                 .end = end_for(n),
                                 .align = 1,
                                 .grows = true };
    void *p = HEAP_HAS_HELD ? hand_out_held(h, n, &want) : NULL;
    return p != NULL ? p : hak_large_alloc(h, n, 1, false);
}

static struct margin random_margin(struct heap *h, size_t align_units)
{
    return hak_fence_margin(&hak_heap_extra(h)->random, align_units);
}

static void count_freed(struct heap *h, const struct slab *s)
{
    bool large = own_load(&s->state) == SLAB_LARGE;
    uint64_t bytes = end_of(s);
    if (likely(h != NULL)) {
        hak_count(large ? &h->counters.large : &h->counters.huge, (uint64_t)-1);
        hak_count(&h->counters.large_bytes, -bytes);
        return;
    }
    fetch_add_relaxed(GUEST_LARGE, &guests.large, large);
    fetch_add_relaxed(GUEST_HUGE, &guests.huge, !large);
    fetch_add_relaxed(GUEST_BYTES, &guests.bytes, bytes);
}

static void zero_warm(const struct run *r, uint32_t lead)
{
    const struct run block = { r->unit + lead, r->units - lead, r->warm >> lead };
    hak_pool_zero_warm(&block);
}

void *hak_large_alloc(struct heap *h, size_t n, size_t align, bool zero)
{
    uint32_t units = units_for(n);
    unsigned align_units = (unsigned)max_size(align >> UNIT_SHIFT, 1);
    struct margin margin = { 0, 0 };
    struct run r;
    enum pool_stage stage = POOL_NONE;
    void *p = hand_out_again(h, SLAB_LARGE, n, align, zero);
    if (p != NULL)
        return p;
    if (align_units > SUPERSLAB_UNITS)
        return NULL;
    if (MITIGATE_GUARDS) {
        margin = random_margin(h, align_units);
        uint32_t all = margin.before + units + margin.behind;
        if (all < SUPERSLAB_UNITS)
            stage = hak_pool_acquire_kind(KIND_LARGE, all, all, align_units, POOL_ANY, &r);
        if (stage == POOL_NONE)
            margin = (struct margin){ 0, 0 };
    }
    if (stage == POOL_NONE)
        stage = hak_pool_acquire_kind(KIND_LARGE, units, units, align_units, POOL_EXHAUSTIVE, &r);
    if (stage == POOL_NONE)
        return NULL;
    hak_count(&h->counters.large_taken[stage], 1);
    if (zero)
        zero_warm(&r, margin.before);
    return hand_out_run(h, &r, margin.before, SLAB_LARGE, n);
}

void *hak_huge_alloc(struct heap *h, size_t n, size_t align, bool zero)
{
    struct margin margin = { 0, 0 };
    struct run r = { 0, 0, 0 }; // what is in memory of it is not told
    if (n > hak_arena.bytes)
        return NULL;
    enum pool_stage stage = POOL_NONE;
    void *p = hand_out_again(h, SLAB_HUGE, n, align, zero);
    if (p != NULL)
        return p;
    if (MITIGATE_GUARDS) {
        margin = random_margin(h, max_size(align >> UNIT_SHIFT, 1));
        stage = hak_pool_acquire_huge(margin.before + units_for(n) + margin.behind, align, zero,
                                      &r);
        if (stage == POOL_NONE)
            margin = (struct margin){ 0, 0 };
    }
    if (stage == POOL_NONE)
        stage = hak_pool_acquire_huge(units_for(n), align, zero, &r);
    if (stage == POOL_NONE)
        return NULL;
    hak_count(&h->counters.large_taken[stage], 1);
    return hand_out_run(h, &r, margin.before, SLAB_HUGE, n);
}

struct slab *hak_large_record(const void *p)
{
    struct slab *s = hak_slab_at(hak_unit_of(p));
    uint32_t state = own_load(&s->state);
    bool is_start = p == hak_slab_base(s) && (state == SLAB_LARGE || state == SLAB_HUGE);
    return is_start ? s : NULL;
}

// Gives units that are in nobody's hands back to the pool. Hardened: they read as zero from now on.
static void release_units(uint32_t unit, uint32_t units, uint64_t now_ms)
{
    bool empty = true;
    if (FREE_IS_ZERO) {
        empty = !os_decommit(hak_unit_base(unit), units * UNIT_SIZE);
        if (empty)
            __builtin_memset(hak_unit_base(unit), 0, units * UNIT_SIZE);
    }
    hak_pool_release_huge(unit, units, empty, now_ms);
}

bool hak_large_is_live(const struct slab *s)
{
    return load_relaxed(LARGE_IS_LIVE, &s->live) != 0;
}

void hak_large_note_profiled(struct slab *s, bool known)
{
    store_relaxed(LARGE_PROFILED, &s->live, known ? LIVE_PROFILED : LIVE_PLAIN); // as LARGE_LIVE
}

bool hak_large_is_profiled(const struct slab *s)
{
    return load_relaxed(LARGE_IS_PROFILED, &s->live) == LIVE_PROFILED;
}

bool hak_large_free(struct heap *h, struct slab *s)
{
    // Relaxed: it elects the winner. The user orders the uses of a block before its free; GIVE
    // publishes them with the units.
    uint32_t was = LIVE_PLAIN;
    if (WITHOUT_CHECKS)
        store_relaxed(LARGE_FREE_UNCHECKED, &s->live, 0);
    else if ((was = exchange_relaxed(LARGE_FREE, &s->live, 0)) == 0)
        return false;
    if (unlikely(was == LIVE_PROFILED))
        hak_profile_freed(hak_slab_base(s), hak_heap_thread(h));
    if (MITIGATE_CANARY)
        check_canary(s);
    count_freed(h, s);
    if (HEAP_HAS_HELD && h != NULL &&
        hak_held_add(&hak_heap_extra(h)->held, s, end_of(s), h->now_ms))
        return true;
    uint32_t units = hak_slab_lead(s) + own_load(&s->units);
    uint32_t unit = hak_slab_unit(s) - hak_slab_lead(s);
    if (MITIGATE_GUARDS && s->place != 0 && !os_commit(hak_unit_base(unit), units * UNIT_SIZE)) {
        // Without a heap the units stay with this record, unused: a free of them is a second one.
        if (h != NULL)
            hak_held_keep(&hak_heap_extra(h)->held, s, end_of(s), h->now_ms);
        return true;
    }
    if (MITIGATE_GUARDS)
        hak_fence_drop(s);
    sanitize_give(hak_slab_base(s), own_load(&s->units) * UNIT_SIZE);
    if (KEEPS_RECENT && h != NULL && hak_recent_keep(&h->recent, s, h->now_ms))
        return true;
    hak_slab_end(s);
    release_units(unit, units, h != NULL ? h->now_ms : os_clock_ms());
    return true;
}

// Gives the units from `keep` on back to the pool.
static void give_tail(struct heap *h, struct slab *s, uint32_t keep)
{
    uint32_t unit = hak_slab_unit(s);
    uint32_t units = own_load(&s->units);
    own_store(&s->units, keep);
    hak_set_tags(unit + keep, units - keep, TAG_NONE);
    sanitize_own(hak_unit_base(unit + keep), (units - keep) * UNIT_SIZE);
    release_units(unit + keep, units - keep, h->now_ms);
}

// A block with guards keeps a few units behind a shorter end, and all behind a longer one.
static bool gives_tail(const struct slab *s, uint32_t units, size_t end)
{
    return end <= end_of(s) && own_load(&s->units) > units + HELD_SPARE_UNITS;
}

static bool extend(struct slab *s, uint32_t units)
{
    uint32_t unit = hak_slab_unit(s);
    uint32_t have = own_load(&s->units);
    bool large = own_load(&s->state) == SLAB_LARGE;
    if (large && unit % SUPERSLAB_UNITS + units > SUPERSLAB_UNITS - MITIGATE_GUARDS)
        return false; // the last unit is for huge blocks
    if (unit + (size_t)units > (size_t)hak_arena.superslabs * SUPERSLAB_UNITS ||
        !hak_pool_extend(unit + have, units - have))
        return false;
    hak_set_tags(unit + have, units - have, large ? TAG_LARGE : TAG_HUGE);
    own_store(&s->units, units);
    return true;
}

bool hak_large_resize(struct heap *h, struct slab *s, size_t n)
{
    if (n > hak_arena.bytes)
        return false;
    bool large = own_load(&s->state) == SLAB_LARGE;
    if (HAK_MITIGATIONS != 0 && hak_large_usable(n) == own_load(&s->bytes))
        return true;
    // A block keeps its tier, so that sizes and tags agree.
    if (large ? n > LARGE_SIZE_MAX : n <= LARGE_SIZE_MAX)
        return false;
    uint32_t units = units_for(n);
    uint32_t have = own_load(&s->units);
    size_t end = end_for(n), before = end_of(s);
    if (MITIGATE_CANARY)
        check_canary(s);
    bool gives = have > units && (!MITIGATE_GUARDS || gives_tail(s, units, end));
    if (MITIGATE_GUARDS && (gives || units > have) && !hak_fence_remove_last(s))
        return false;
    if (units > have && !extend(s, units)) {
        if (MITIGATE_GUARDS)
            (void)hak_fence_move(s, before, false); // there was one
        return false;
    }
    if (MITIGATE_GUARDS && end > before && !hak_fence_grow(s, end))
        return false;
    set_bytes(s, n);
    if (gives)
        give_tail(h, s, units);
    if (MITIGATE_GUARDS && end <= before) {
        (void)hak_fence_move(s, end, false);
        size_t open = hak_fence_open_bytes(s);
        if (FREE_IS_ZERO && open > end) // there was no guard, or the system refused
            __builtin_memset(hak_slab_base(s) + end, 0, min_size(open, before) - end);
    }
    hak_count(&h->counters.large_bytes, end - before);
    sanitize_take_more(hak_slab_base(s), n, units * UNIT_SIZE);
    return true;
}

void *hak_huge_move(struct heap *h, struct slab *s, size_t n)
{
    size_t old_bytes = own_load(&s->bytes);
    if (own_load(&s->state) != SLAB_HUGE || n <= old_bytes)
        return NULL;
    void *to = hak_huge_alloc(h, n, 1, false);
    if (to == NULL)
        return NULL;
    struct slab *target = hak_slab_at(hak_unit_of(to));
    sanitize_open(hak_slab_base(s), old_bytes);
    if (MITIGATE_CANARY)
        check_canary(s);
    size_t end = end_of(s);
    if (!os_move(to, hak_slab_base(s), end)) {
        hak_large_free(h, target);
        return NULL;
    }
    if (MITIGATE_CANARY) {
        __builtin_memset((char *)to + old_bytes, 0, end - old_bytes);
        hak_canary_write_behind(hak_slab_base(s), old_bytes, end - old_bytes);
    }
    sanitize_take_more(to, n, own_load(&target->units) * UNIT_SIZE);
    return to;
}

struct large_counts hak_large_live(void)
{
    struct large_counts live = {
        .large = -load_relaxed(GUEST_LARGE_READ, &guests.large),
        .huge = -load_relaxed(GUEST_HUGE_READ, &guests.huge),
        .bytes = -load_relaxed(GUEST_BYTES_READ, &guests.bytes),
    };
    for (uint32_t i = 0, count = hak_heaps_count(); i < count; i++) {
        const struct heap_counters *c = &hak_heaps_at(i)->counters;
        live.large += own_load(&c->large);
        live.huge += own_load(&c->huge);
        live.bytes += own_load(&c->large_bytes);
    }
    // A block freed by another heap than its own can be seen freed before it is seen handed out.
    live.large = (int64_t)live.large < 0 ? 0 : live.large;
    live.huge = (int64_t)live.huge < 0 ? 0 : live.huge;
    live.bytes = (int64_t)live.bytes < 0 ? 0 : live.bytes;
    return live;
}

bool hak_large_ok(const struct slab *s)
{
    uint32_t unit = hak_slab_unit(s);
    uint32_t units = own_load(&s->units);
    bool large = own_load(&s->state) == SLAB_LARGE;
    unsigned tag = large ? TAG_LARGE : TAG_HUGE;
    if (units == 0 || own_load(&s->bytes) > units * UNIT_SIZE ||
        (large && unit % SUPERSLAB_UNITS + units > SUPERSLAB_UNITS) ||
        (!large && (unit - hak_slab_lead(s)) % SUPERSLAB_UNITS != 0) ||
        load_relaxed(LARGE_OK, &s->live) == 0)
        return false;
    for (uint32_t i = 0; i < units; i++)
        if (hak_tag_of(hak_unit_base(unit + i)) != tag)
            return false;
    return true;
}

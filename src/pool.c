// pool.c: acquiring runs of units in stages, and giving memory back after a delay.
//
//   acquire:  1 EMPTY run of a SuperSlab        (committed, warm)
//             2 EMPTY or UNUSED run             (SuperSlabs already begun)
//             3 a new SuperSlab                 (the only stage with a lock)
//
// Stages 1 and 2 look at the lowest SuperSlabs first, so that the heap stays compact, and at a
// bounded number of them; then from a rotating place, so that no free run stays unseen for ever.
//
//   release:  stamp each unit with the time, then EMPTY
//   purge:    claim EMPTY units whose stamp is older than the delay, decommit, give as UNUSED;
//             if the system refuses they go back as EMPTY: nothing is lost
//
// A unit that is being decommitted is claimed like any other (ACTIVE), so no one can hand it out
// meanwhile. `stamps[u]` is written by the releaser before the unit becomes EMPTY.

#include "pool.h"

#include <seam/os.h>
#include <seam/sanitizer.h>

static struct {
    ON_OWN_LINE struct atomic_u64 next_purge_ms; // written by the winner of hak_pool_tick
    ON_OWN_LINE struct atomic_u32 rotor;         // where the second scan begins
    struct atomic_u64 purges, purged_units;
} pool;

void hak_pool_start(void)
{
    init_cell(&pool.next_purge_ms, 0);
    init_cell(&pool.rotor, 0);
    init_cell(&pool.purges, 0);
    init_cell(&pool.purged_units, 0);
}

// Looks at up to `probes` SuperSlabs with free (EMPTY) units from `from` on.
static bool scan(unsigned units, unsigned align, bool empty_only, uint32_t from, uint32_t probes,
                 struct run *out)
{
    uint32_t i = from;
    while (probes-- != 0 && (i = hak_superslab_next(i, empty_only)) != UINT32_MAX) {
        if (hak_superslab_claim(i, units, align, empty_only, out))
            return true;
        uint64_t word = hak_superslab_word(i);
        if (empty_only ? hak_mask_empty(word) == 0 : word == 0)
            hak_superslab_clear_hint(i, empty_only);
        i++;
    }
    return false;
}

static bool scan_twice(unsigned units, unsigned align, bool empty_only, struct run *out)
{
    if (scan(units, align, empty_only, 0, POOL_PROBES_MAX, out))
        return true;
    uint32_t begun = hak_superslabs_begun();
    if (begun <= POOL_PROBES_MAX)
        return false;
    uint32_t from = fetch_add_relaxed(POOL_ROTOR, &pool.rotor, POOL_PROBES_MAX) % begun;
    return scan(units, align, empty_only, from, POOL_PROBES_MAX, out);
}

static bool begin_superslab(unsigned units, struct run *out)
{
    out->units = units;
    out->warm = 0;
    return hak_superslab_begin(1, units, UINT32_MAX, &out->unit);
}

enum pool_stage hak_pool_acquire(unsigned units, unsigned units_min, unsigned align,
                                 enum pool_effort effort, struct run *out)
{
    if (scan_twice(units, align, true, out))
        return POOL_FROM_EMPTY;
    if (scan_twice(units, align, false, out))
        return POOL_FROM_UNUSED;
    if (effort == POOL_BEGUN)
        return POOL_NONE;
    if (begin_superslab(units, out))
        return POOL_FROM_NEW;
    for (; effort == POOL_EXHAUSTIVE && units >= units_min; units--)
        if (scan(units, align, false, 0, UINT32_MAX, out))
            return POOL_FROM_UNUSED;
    return POOL_NONE;
}

static void stamp(uint32_t unit, size_t units, uint64_t now_ms)
{
    for (size_t i = 0; i < units; i++)
        store_relaxed(POOL_STAMP, &hak_arena.stamps[unit + i], (uint32_t)now_ms);
}

void hak_pool_release(uint32_t unit, unsigned units, uint64_t now_ms)
{
    stamp(unit, units, now_ms);
    hak_superslab_give(unit, units, true);
}

void hak_pool_zero_warm(const struct run *r)
{
    for (uint32_t warm = r->warm; warm != 0; warm &= warm - 1) {
        char *base = hak_unit_base(r->unit + lowest_bit(warm));
        sanitize_open(base, UNIT_SIZE);
        __builtin_memset(base, 0, UNIT_SIZE);
    }
}

// ---- runs of many SuperSlabs ----

// Units of the run that lie in the SuperSlab of its unit `offset`.
static unsigned units_here(size_t units, size_t offset)
{
    return (unsigned)min_size(units - offset, SUPERSLAB_UNITS);
}

// Claims units that may span SuperSlabs, beginning at one: all of them or none. The pieces that
// were claimed before a failure go back, each as what it was.
static bool claim_span(uint32_t unit, size_t units, bool zero)
{
    struct run piece;
    for (size_t done = 0; done < units; done += piece.units) {
        uint32_t here = unit + (uint32_t)done;
        unsigned want = units_here(units, done);
        if (!hak_superslab_claim_at(here, want, &piece)) {
            // Without their masks pieces are taken as warm: correct, and purged later.
            for (size_t back = 0; back < done; back += SUPERSLAB_UNITS)
                hak_superslab_give(unit + (uint32_t)back, SUPERSLAB_UNITS, true);
            return false;
        }
        if (zero)
            hak_pool_zero_warm(&piece);
    }
    return true;
}

static bool available(uint32_t superslab, unsigned units, bool empty_only)
{
    uint64_t word = hak_superslab_word(superslab);
    uint32_t bits = hak_run_bits(0, units);
    uint32_t there = empty_only ? hak_mask_empty(word)
                                : hak_mask_empty(word) | hak_mask_unused(word);
    return (there & bits) == bits;
}

static bool scan_span(size_t units, size_t align, bool zero, bool empty_only, struct run *out)
{
    uint32_t begun = hak_superslabs_begun();
    uint32_t first = 0; // of the window that is being tried
    size_t offset = 0;  // units of it that are known to be free
    while ((first = offset == 0 ? hak_superslab_next(first, empty_only) : first) < begun) {
        uint32_t at = first + (uint32_t)(offset / SUPERSLAB_UNITS);
        if (at >= begun)
            return false;
        bool aligned = ((uintptr_t)hak_unit_base(first * SUPERSLAB_UNITS) & (align - 1)) == 0;
        if (!aligned || !available(at, units_here(units, offset), empty_only)) {
            first = at + 1;
            offset = 0;
            continue;
        }
        offset += SUPERSLAB_UNITS;
        if (offset < units)
            continue;
        if (claim_span(first * SUPERSLAB_UNITS, units, zero)) {
            out->unit = first * SUPERSLAB_UNITS;
            return true;
        }
        first++; // someone was faster: go on behind
        offset = 0;
    }
    return false;
}

// Begins as many SuperSlabs as are missing behind the free ones at the end.
static bool begin_span(size_t units, size_t align, bool zero, struct run *out)
{
    uint32_t begun = hak_superslabs_begun();
    uint32_t first = begun;
    while (first > 0 && (size_t)(begun - first + 1) * SUPERSLAB_UNITS < units &&
           available(first - 1, SUPERSLAB_UNITS, false))
        first--;
    size_t step = max_size(align >> SUPERSLAB_SHIFT, 1);
    size_t base = (uintptr_t)hak_arena.base >> SUPERSLAB_SHIFT;
    first = (uint32_t)(round_up(base + first, step) - base);
    uint32_t gap = first > begun ? first - begun : 0; // begun too, to stay in ascending order
    size_t held = first < begun ? (size_t)(begun - first) * SUPERSLAB_UNITS : 0;
    size_t count = (units - held + SUPERSLAB_UNITS - 1) / SUPERSLAB_UNITS + gap;
    if (count > hak_arena.superslabs - begun)
        return false;
    if (held != 0 && !claim_span(first * SUPERSLAB_UNITS, held, zero))
        return false;
    uint32_t unit;
    size_t claimed = units - held + (size_t)gap * SUPERSLAB_UNITS;
    if (!hak_superslab_begin((uint32_t)count, (uint32_t)claimed, begun, &unit)) {
        for (size_t i = 0; i < held; i += SUPERSLAB_UNITS)
            hak_superslab_give(first * SUPERSLAB_UNITS + (uint32_t)i, SUPERSLAB_UNITS, true);
        return false;
    }
    for (uint32_t i = 0; i < gap; i++)
        hak_superslab_give(unit + i * SUPERSLAB_UNITS, SUPERSLAB_UNITS, false);
    out->unit = first * SUPERSLAB_UNITS;
    return true;
}

enum pool_stage hak_pool_acquire_huge(size_t units, size_t align, bool zero, struct run *out)
{
    if (units > (size_t)hak_arena.superslabs * SUPERSLAB_UNITS || align > hak_arena.bytes)
        return POOL_NONE;
    out->units = (uint32_t)units;
    if (scan_span(units, align, zero, true, out))
        return POOL_FROM_EMPTY;
    if (scan_span(units, align, zero, false, out))
        return POOL_FROM_UNUSED;
    for (int tries = 0; tries < 3; tries++) // another thread may begin SuperSlabs in between
        if (begin_span(units, align, zero, out))
            return POOL_FROM_NEW;
    return POOL_NONE;
}

bool hak_pool_extend(uint32_t unit, size_t units)
{
    struct run piece;
    uint32_t first = unit;
    while (units != 0) {
        unsigned here = (unsigned)min_size(units, SUPERSLAB_UNITS - unit % SUPERSLAB_UNITS);
        uint32_t ignored;
        bool got = unit / SUPERSLAB_UNITS < hak_superslabs_begun()
                       ? hak_superslab_claim_at(unit, here, &piece)
                       : hak_superslab_begin(1, here, unit / SUPERSLAB_UNITS, &ignored);
        if (!got) {
            hak_pool_release_huge(first, unit - first, true, os_clock_ms());
            return false;
        }
        unit += here;
        units -= here;
    }
    return true;
}

void hak_pool_release_huge(uint32_t unit, size_t units, bool empty, uint64_t now_ms)
{
    while (units != 0) {
        unsigned here = (unsigned)min_size(units, SUPERSLAB_UNITS - unit % SUPERSLAB_UNITS);
        if (empty)
            stamp(unit, here, now_ms);
        hak_superslab_give(unit, here, empty);
        unit += here;
        units -= here;
    }
}

// ---- purging ----

bool hak_pool_tick(uint64_t now_ms, uint64_t delay_ms)
{
    uint64_t next = load_relaxed(TICK_LOAD, &pool.next_purge_ms);
    if (likely(now_ms < next))
        return false;
    uint64_t after = now_ms + max_size(delay_ms / 2, 1);
    // Relaxed: only elects one of several threads; the units themselves are claimed in masks.
    return cas_strong_relaxed(TICK_CAS, &pool.next_purge_ms, &next, after);
}

// EMPTY units of the SuperSlab that are older than the delay.
static uint32_t aged(uint32_t superslab, uint32_t empty, uint64_t now_ms, uint64_t delay_ms)
{
    uint32_t old = 0;
    for (uint32_t bits = empty; bits != 0; bits &= bits - 1) {
        unsigned i = lowest_bit(bits);
        uint32_t since = load_relaxed(PURGE_STAMP,
                                      &hak_arena.stamps[superslab * SUPERSLAB_UNITS + i]);
        // Signed: another thread's clock may be ahead of the one that I read before.
        if ((int32_t)((uint32_t)now_ms - since) >= (int64_t)delay_ms)
            old |= (uint32_t)1 << i;
    }
    return old;
}

// Decommits the claimed units `bits`, run by run, and gives them back.
static size_t purge_units(uint32_t superslab, uint32_t bits)
{
    size_t purged = 0;
    while (bits != 0) {
        unsigned first = lowest_bit(bits);
        uint32_t rest = ~(bits >> first);
        unsigned units = rest == 0 ? SUPERSLAB_UNITS : lowest_bit(rest);
        if (first + units > SUPERSLAB_UNITS)
            units = SUPERSLAB_UNITS - first;
        uint32_t unit = superslab * SUPERSLAB_UNITS + first;
        bool done = os_decommit(hak_unit_base(unit), units * UNIT_SIZE);
        hak_superslab_give(unit, units, !done);
        purged += done ? units : 0;
        bits &= ~hak_run_bits(first, units);
    }
    return purged;
}

size_t hak_pool_purge(uint64_t now_ms, uint64_t delay_ms, size_t units_max)
{
    size_t purged = 0;
    fetch_add_relaxed(PURGE_COUNT, &pool.purges, 1);
    for (uint32_t i = 0; purged < units_max; i++) {
        i = hak_superslab_next(i, true);
        if (i == UINT32_MAX)
            break;
        uint32_t empty = hak_mask_empty(hak_superslab_word(i));
        if (empty == 0) {
            hak_superslab_clear_hint(i, true);
            continue;
        }
        uint32_t old = aged(i, empty, now_ms, delay_ms);
        while ((size_t)__builtin_popcount(old) > units_max - purged)
            old &= old - 1;
        if (old != 0)
            purged += purge_units(i, hak_superslab_claim_empty(i, old));
    }
    fetch_add_relaxed(PURGED_UNITS, &pool.purged_units, purged);
    return purged;
}

struct pool_stats hak_pool_stats(void)
{
    return (struct pool_stats){
        .purges = load_relaxed(POOL_STATS_PURGES, &pool.purges),
        .purged_units = load_relaxed(POOL_STATS_UNITS, &pool.purged_units),
    };
}

size_t hak_pool_empty_units(void)
{
    size_t units = 0;
    for (uint32_t i = 0, begun = hak_superslabs_begun(); i < begun; i++)
        units += (size_t)__builtin_popcount(hak_mask_empty(hak_superslab_word(i)));
    return units;
}

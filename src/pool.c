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

#include "guard.h"
#include "random.h"
#include "types.h"

static struct {
    ON_OWN_LINE struct atomic_u64 next_purge_ms; // written by the winner of hak_pool_tick
    ON_OWN_LINE struct atomic_u32 rotor;         // where the second scan begins
} pool;

void hak_pool_start(void)
{
    init_cell(&pool.next_purge_ms, 0);
    init_cell(&pool.rotor, 0);
}

// Looks at up to `probes` SuperSlabs with free (EMPTY) units from `first` on.
static bool scan(const struct wanted *w, enum claim_from from, uint32_t first, uint32_t probes,
                 struct run *out)
{
    bool empty_only = from != FROM_ANY;
    uint32_t i = first;
    while (probes-- != 0 && (i = hak_superslab_next(i, empty_only)) != UINT32_MAX) {
        if (hak_superslab_claim_wanted(i, w, from, out))
            return true;
        uint64_t word = hak_superslab_word(i);
        if (empty_only ? hak_mask_empty(word) == 0 : word == 0)
            hak_superslab_clear_hint(i, empty_only);
        i++;
    }
    return false;
}

// Where a search begins: at the lowest SuperSlab, so that the heap stays compact, or at random.
static uint32_t first_place(const struct wanted *w, uint32_t begun)
{
    return MITIGATE_RANDOM && begun > 1 ? w->random % begun : 0;
}

static bool scan_twice(const struct wanted *w, enum claim_from from, struct run *out)
{
    uint32_t begun = hak_superslabs_begun();
    uint32_t first = first_place(w, begun);
    if (MITIGATE_TYPES && w->kind != KIND_FRESH && w->kind <= CLASS_LAST && begun != 0 &&
        hak_superslab_claim_wanted(hak_types_hint(w->kind) % begun, w, from, out))
        return true;
    if (scan(w, from, first, POOL_PROBES_MAX, out) ||
        (first != 0 && scan(w, from, 0, POOL_PROBES_MAX, out)))
        return true;
    if (begun <= POOL_PROBES_MAX)
        return false;
    uint32_t place = fetch_add_relaxed(POOL_ROTOR, &pool.rotor, POOL_PROBES_MAX) % begun;
    return scan(w, from, place, POOL_PROBES_MAX, out);
}

// Begins some SuperSlabs and takes the run out of a random one of them.
static bool begin_some(const struct wanted *w, struct run *out)
{
    uint32_t begun[SUPERSLABS_AHEAD];
    uint32_t count = 0, unit;
    while (count < SUPERSLABS_AHEAD && hak_superslab_begin(1, 1, UINT32_MAX, &unit)) {
        hak_superslab_give(unit, 1, false);
        begun[count++] = unit / SUPERSLAB_UNITS;
    }
    for (uint32_t tries = 0; count != 0 && tries < 2 * SUPERSLABS_AHEAD; tries++)
        if (hak_superslab_claim_wanted(begun[hak_random_shared() % count], w, FROM_ANY, out))
            return true; // or another thread was faster
    return false;
}

static bool begin_superslab(const struct wanted *w, struct run *out)
{
    if (MITIGATE_RANDOM && w->units <= SUPERSLAB_UNITS / 2)
        return begin_some(w, out);
    out->units = w->units;
    out->warm = 0;
    return hak_superslab_begin(1, w->units, UINT32_MAX, &out->unit);
}

// Gives up guards between SuperSlabs, one by one, until the run fits.
static bool claim_guarded(struct wanted w, unsigned units_min, struct run *out)
{
    unsigned units = w.units;
    struct run guard;
    for (uint32_t i = 0, begun = hak_superslabs_begun(); i < begun; i++) {
        uint32_t last = i * SUPERSLAB_UNITS + GUARDED_UNIT;
        if (!hak_guard_is_closed(i) || !hak_superslab_claim_at(last, 1, &guard))
            continue;
        bool opened = hak_guard_open_superslabs(last, 1);
        hak_superslab_give(last, 1, false);
        if (!opened)
            continue;
        hak_guard_note_refused();
        for (w.units = units; w.units >= units_min; w.units--)
            if (hak_superslab_claim_wanted(i, &w, FROM_ANY, out))
                return true;
    }
    return false;
}

// Whether warm runs of just the length go first: at random places a slab would split the runs that
// longer ones need, and those get cold memory. Of a kind a run serves again as a whole.
static bool fits_whole(const struct wanted *w)
{
    return MITIGATE_RANDOM && w->kind == KIND_FRESH;
}

static enum pool_stage acquire(struct wanted w, unsigned units_min, enum pool_effort effort,
                               struct run *out)
{
    if (MITIGATE_RANDOM)
        w.random = hak_random_shared();
    if (fits_whole(&w) && scan_twice(&w, FROM_WHOLE, out))
        return POOL_FROM_EMPTY;
    if (scan_twice(&w, FROM_EMPTY, out))
        return POOL_FROM_EMPTY;
    if (scan_twice(&w, FROM_ANY, out))
        return POOL_FROM_UNUSED;
    if (effort == POOL_BEGUN)
        return POOL_NONE;
    if (begin_superslab(&w, out))
        return POOL_FROM_NEW;
    unsigned units = w.units;
    for (; effort == POOL_EXHAUSTIVE && w.units >= units_min; w.units--)
        if (scan(&w, FROM_ANY, 0, UINT32_MAX, out))
            return POOL_FROM_UNUSED;
    w.units = units;
    bool gave_way = MITIGATE_GUARDS && effort == POOL_EXHAUSTIVE &&
                    claim_guarded(w, units_min, out);
    return gave_way ? POOL_FROM_UNUSED : POOL_NONE;
}

enum pool_stage hak_pool_acquire(unsigned units, unsigned units_min, unsigned align,
                                 enum pool_effort effort, struct run *out)
{
    return acquire((struct wanted){ KIND_FRESH, units, align, 0 }, units_min, effort, out);
}

enum pool_stage hak_pool_acquire_kind(unsigned kind, unsigned units, unsigned units_min,
                                      unsigned align, enum pool_effort effort, struct run *out)
{
    if (!MITIGATE_TYPES)
        return hak_pool_acquire(units, units_min, align, effort, out);
    enum pool_stage stage = acquire((struct wanted){ kind, units, align, 0 }, units_min, effort,
                                    out);
    if (stage == POOL_NONE && effort == POOL_EXHAUSTIVE) // then of any kind
        stage = hak_pool_acquire(units, units_min, align, effort, out);
    if (stage != POOL_NONE)
        hak_types_set(out->unit, out->units, kind);
    return stage;
}

static void stamp(uint32_t unit, size_t units, uint64_t now_ms)
{
    for (size_t i = 0; i < units && !WITHOUT_PURGE; i++)
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

// Gives units of one SuperSlab back. Its last one becomes a guard if it can.
static void give(uint32_t unit, unsigned units, bool empty)
{
    if (MITIGATE_GUARDS && unit % SUPERSLAB_UNITS + units > GUARDED_UNIT &&
        hak_guard_close_superslab(unit / SUPERSLAB_UNITS)) {
        hak_superslab_give(unit / SUPERSLAB_UNITS * SUPERSLAB_UNITS + GUARDED_UNIT, 1, false);
        if (--units == 0)
            return;
    }
    hak_superslab_give(unit, units, empty);
}

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
    size_t done = 0;
    bool ok = true;
    for (; ok && done < units; done += ok ? piece.units : 0) {
        ok = hak_superslab_claim_at(unit + (uint32_t)done, units_here(units, done), &piece);
        if (ok && zero)
            hak_pool_zero_warm(&piece);
    }
    if (ok && MITIGATE_GUARDS)
        ok = hak_guard_open_superslabs(unit, units);
    // Without their masks pieces are taken as warm: correct, and purged later.
    for (size_t back = 0; !ok && back < done; back += SUPERSLAB_UNITS)
        give(unit + (uint32_t)back, units_here(done, back), true);
    return ok;
}

static bool available(uint32_t superslab, unsigned units, bool empty_only)
{
    uint64_t word = hak_superslab_word(superslab);
    uint32_t bits = hak_run_bits(0, units);
    uint32_t there = empty_only ? hak_mask_empty(word)
                                : hak_mask_empty(word) | hak_mask_unused(word);
    return (there & bits) == bits;
}

// Large blocks may use the units of the SuperSlab that a run of `units` from here on would cover.
static bool kinds_fit(uint32_t superslab, unsigned units, bool any_kind)
{
    return !MITIGATE_TYPES || any_kind || hak_types_allow_large(superslab * SUPERSLAB_UNITS, units);
}

static bool scan_span(size_t units, size_t align, bool zero, bool empty_only, bool any_kind,
                      struct run *out)
{
    uint32_t begun = hak_superslabs_begun();
    uint32_t first = 0; // of the window that is being tried
    size_t offset = 0;  // units of it that are known to be free
    while ((first = offset == 0 ? hak_superslab_next(first, empty_only) : first) < begun) {
        uint32_t at = first + (uint32_t)(offset / SUPERSLAB_UNITS);
        if (at >= begun)
            return false;
        bool aligned = ((uintptr_t)hak_unit_base(first * SUPERSLAB_UNITS) & (align - 1)) == 0;
        unsigned here = units_here(units, offset);
        if (!aligned || !available(at, here, empty_only) || !kinds_fit(at, here, any_kind)) {
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
           available(first - 1, SUPERSLAB_UNITS, false) &&
           kinds_fit(first - 1, SUPERSLAB_UNITS, false))
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
            give(first * SUPERSLAB_UNITS + (uint32_t)i, SUPERSLAB_UNITS, true);
        return false;
    }
    for (uint32_t i = 0; i < gap; i++)
        give(unit + i * SUPERSLAB_UNITS, SUPERSLAB_UNITS, false);
    out->unit = first * SUPERSLAB_UNITS;
    return true;
}

static enum pool_stage acquire_huge(size_t units, size_t align, bool zero, struct run *out)
{
    if (scan_span(units, align, zero, true, false, out))
        return POOL_FROM_EMPTY;
    if (scan_span(units, align, zero, false, false, out))
        return POOL_FROM_UNUSED;
    for (int tries = 0; tries < 3; tries++) // another thread may begin SuperSlabs in between
        if (begin_span(units, align, zero, out))
            return POOL_FROM_NEW;
    return MITIGATE_TYPES && scan_span(units, align, zero, false, true, out) ? POOL_FROM_UNUSED
                                                                             : POOL_NONE;
}

enum pool_stage hak_pool_acquire_huge(size_t units, size_t align, bool zero, struct run *out)
{
    if (units > (size_t)hak_arena.superslabs * SUPERSLAB_UNITS || align > hak_arena.bytes)
        return POOL_NONE;
    out->units = (uint32_t)units;
    enum pool_stage stage = acquire_huge(units, align, zero, out);
    if (MITIGATE_TYPES && stage != POOL_NONE)
        hak_types_set(out->unit, units, KIND_LARGE);
    return stage;
}

bool hak_pool_extend(uint32_t unit, size_t units)
{
    struct run piece;
    uint32_t first = unit;
    while (units != 0) {
        unsigned here = (unsigned)min_size(units, SUPERSLAB_UNITS - unit % SUPERSLAB_UNITS);
        uint32_t ignored;
        bool begun = unit / SUPERSLAB_UNITS < hak_superslabs_begun();
        bool got = MITIGATE_TYPES && begun && !hak_types_allow_large(unit, here) ? false
                   : begun ? hak_superslab_claim_at(unit, here, &piece)
                           : hak_superslab_begin(1, here, unit / SUPERSLAB_UNITS, &ignored);
        if (got && MITIGATE_GUARDS && !hak_guard_open_superslabs(unit, here)) {
            give(unit, here, true);
            got = false;
        }
        if (!got) {
            hak_pool_release_huge(first, unit - first, true, os_clock_ms());
            return false;
        }
        if (MITIGATE_TYPES)
            hak_types_set(unit, here, KIND_LARGE);
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
        give(unit, here, empty);
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
        uint32_t unit = superslab * SUPERSLAB_UNITS + first;
        bool done = os_decommit(hak_unit_base(unit), units * UNIT_SIZE);
        if (MITIGATE_STATE && done)
            hak_live_forget(unit, units);
        hak_superslab_give(unit, units, !done);
        purged += done ? units : 0;
        bits &= ~hak_run_bits(first, units);
    }
    return purged;
}

size_t hak_pool_purge(uint64_t now_ms, uint64_t delay_ms, size_t units_max)
{
    size_t purged = 0;
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
    return purged;
}

size_t hak_pool_empty_units(void)
{
    size_t units = 0;
    for (uint32_t i = 0, begun = hak_superslabs_begun(); i < begun; i++)
        units += (size_t)__builtin_popcount(hak_mask_empty(hak_superslab_word(i)));
    return units;
}

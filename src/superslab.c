// superslab.c: one word per SuperSlab, hints to find it, and the begin of new ones.
//
//   word:  | EMPTY, 32 bits | UNUSED, 32 bits |        unit i of the SuperSlab: bits i and 32 + i
//
//   (EMPTY & UNUSED) == 0;  ACTIVE = ~(EMPTY | UNUSED)
//
//   UNUSED --claim--> ACTIVE --give(empty)--> EMPTY --claim--> ACTIVE
//                     ACTIVE --give(unused)-> UNUSED      (the purger, after decommitting)
//
// A claim acquires what the giver released: the contents of the units, of their tags and records.
// Whoever claimed a unit owns these alone until it gives the unit back.
//
// Hints: a set bit says "look here". A giver changes the word, then looks at the hint and sets it
// if it is clear; whoever clears it looks at the word afterwards, and sets it again if a unit is
// free. Changes, looks and clears are sequentially consistent: either the giver sees the clear
// hint, or the clearer the new word (Dekker). So a unit that is free is without its hint only while
// one of the two is on its way (lemma H). The look spares the giver a read-modify-write of a line
// that all share.
//
// `begun` grows under the lock; a SuperSlab below it has committed memory and records.

#include "superslab.h"

#include <seam/lock.h>

#include "check.h"
#include "guard.h"
#include "random.h"
#include "types.h"

static struct {
    ON_OWN_LINE struct lock lock; // begins SuperSlabs; rank RANK_ARENA
    struct atomic_u32 begun;      // written under the lock, read by any thread
} superslabs = { .lock = LOCK_INIT(RANK_ARENA) };

// Units with committed memory, counted by any thread.
static struct {
    ON_OWN_LINE struct atomic_u64 now;
    struct atomic_u64 peak;
} committed;

const struct lock *hak_superslabs_lock(void)
{
    return &superslabs.lock;
}

void hak_superslabs_start(void)
{
    if (MITIGATE_GUARDS)
        hak_guard_start(load_relaxed(BEGIN_RESTART, &superslabs.begun));
    init_cell(&superslabs.begun, 0);
    init_cell(&committed.now, 0);
    init_cell(&committed.peak, 0);
}

uint32_t hak_run_starts(uint32_t available, unsigned units, unsigned align)
{
    uint32_t starts = available;
    // After each step bit i of `starts` says that `length` bits from i on are set.
    for (unsigned length = 1; length < units;) {
        unsigned step = length < units - length ? length : units - length;
        starts &= starts >> step;
        length += step;
    }
    static const uint32_t aligned[6] = { 0xffffffff, 0x55555555, 0x11111111,
                                         0x01010101, 0x00010001, 0x00000001 };
    return starts & aligned[lowest_bit(align)];
}

unsigned hak_run_find(uint32_t available, unsigned units, unsigned align)
{
    uint32_t starts = hak_run_starts(available, units, align);
    return starts == 0 ? SUPERSLAB_UNITS : lowest_bit(starts);
}

// Those of the places from a random one on. Multiples of the length go first, so that runs of one
// length leave no holes between them.
static uint32_t random_starts(uint32_t starts, unsigned units, uint32_t random)
{
    unsigned tiles = SUPERSLAB_UNITS / units;
    uint32_t tiling = (uint32_t)((((uint64_t)1 << tiles * units) - 1) /
                                 (((uint64_t)1 << units) - 1));
    if ((starts & tiling) != 0)
        starts &= tiling;
    uint32_t from = starts & UINT32_MAX << (random >> 27);
    return from != 0 ? from : starts;
}

// One of the places where the run may begin, none of `apart` before or behind it; SUPERSLAB_UNITS:
// there is none.
static unsigned choose(uint32_t superslab, const struct wanted *w, uint32_t available,
                       uint32_t apart)
{
    uint32_t starts = 0;
    if (MITIGATE_TYPES && w->kind != KIND_FRESH) {
        starts = hak_types_same(superslab, available, w->units, w->kind);
        if (starts == 0)
            available &= hak_types_allowed(superslab, w->kind);
    }
    if (starts == 0)
        starts = hak_run_starts(available, w->units, w->align);
    starts &= ~(apart << 1 | (uint32_t)((uint64_t)apart >> w->units));
    if (starts == 0)
        return SUPERSLAB_UNITS;
    if (MITIGATE_RANDOM)
        starts = random_starts(starts, w->units, w->random);
    return lowest_bit(starts);
}

uint32_t hak_superslabs_begun(void)
{
    return load_acquire(SUPERSLAB_BEGUN_READ, &superslabs.begun);
}

const void *hak_superslabs_begun_at(void)
{
    return &superslabs.begun;
}

uint64_t hak_superslab_word(uint32_t superslab)
{
    return load_relaxed(SUPERSLAB_WORD_PEEK, &hak_arena.masks[superslab]);
}

size_t hak_superslab_bytes_committed(void)
{
    return (size_t)load_relaxed(COMMITTED_READ, &committed.now) << UNIT_SHIFT;
}

size_t hak_superslab_bytes_committed_peak(void)
{
    return (size_t)load_relaxed(COMMITTED_PEAK_READ, &committed.peak) << UNIT_SHIFT;
}

// Units that were UNUSED are in use from now on (or, negative, are UNUSED again).
static void add_committed(int units)
{
    uint64_t now = (uint64_t)units +
                   fetch_add_relaxed(COMMITTED_ADD, &committed.now, (uint64_t)units);
    uint64_t peak = load_relaxed(COMMITTED_PEAK_LOAD, &committed.peak);
    while (units > 0 && now > peak &&
           !cas_weak_relaxed(COMMITTED_PEAK_CAS, &committed.peak, &peak, now))
        spin_hint(COMMITTED_PEAK_SPIN);
}

static void count_committed(const struct run *claimed)
{
    if (claimed->warm != hak_run_bits(0, claimed->units))
        add_committed((int)claimed->units - __builtin_popcount(claimed->warm));
}

bool hak_superslab_claim(uint32_t superslab, unsigned units, unsigned align, bool empty_only,
                         struct run *out)
{
    struct wanted w = { KIND_FRESH, units, align, MITIGATE_RANDOM ? hak_random_shared() : 0 };
    return hak_superslab_claim_wanted(superslab, &w, empty_only ? FROM_EMPTY : FROM_ANY, out);
}

bool hak_superslab_claim_wanted(uint32_t superslab, const struct wanted *w, enum claim_from from,
                                struct run *out)
{
    struct atomic_u64 *cell = &hak_arena.masks[superslab];
    uint64_t word = load_relaxed(CLAIM_LOAD, cell);
    for (;;) {
        uint32_t empty = hak_mask_empty(word);
        uint32_t available = from == FROM_ANY ? empty | hak_mask_unused(word) : empty;
        if (MITIGATE_GUARDS && hak_guard_is_closed(superslab))
            available &= ~hak_run_bits(GUARDED_UNIT, 1);
        uint32_t apart = MITIGATE_RANDOM && from == FROM_WHOLE ? available : 0;
        unsigned first = choose(superslab, w, available, apart);
        if (first == SUPERSLAB_UNITS)
            return false;
        uint64_t bits = hak_run_bits(first, w->units);
        // Acquires what the units' last owners released in GIVE.
        if (cas_weak_acquire(CLAIM_CAS, cell, &word, word & ~(bits | bits << 32))) {
            out->unit = superslab * SUPERSLAB_UNITS + first;
            out->units = w->units;
            out->warm = (empty & (uint32_t)bits) >> first;
            count_committed(out);
            return true;
        }
        spin_hint(CLAIM_SPIN); // another thread changed the word: it made progress
    }
}

bool hak_superslab_claim_at(uint32_t unit, unsigned units, struct run *out)
{
    struct atomic_u64 *cell = &hak_arena.masks[unit / SUPERSLAB_UNITS];
    unsigned first = unit % SUPERSLAB_UNITS;
    uint64_t bits = hak_run_bits(first, units);
    uint64_t word = load_relaxed(CLAIM_AT_LOAD, cell);
    for (;;) {
        if (((word | word >> 32) & bits) != bits)
            return false;
        if (cas_weak_acquire(CLAIM_AT_CAS, cell, &word, word & ~(bits | bits << 32)))
            break; // as CLAIM_CAS
        spin_hint(CLAIM_AT_SPIN);
    }
    out->unit = unit;
    out->units = units;
    out->warm = (hak_mask_empty(word) & (uint32_t)bits) >> first;
    count_committed(out);
    return true;
}

uint32_t hak_superslab_claim_empty(uint32_t superslab, uint32_t bits)
{
    struct atomic_u64 *cell = &hak_arena.masks[superslab];
    // Acquires as CLAIM_CAS; a bit that was not set stays clear.
    uint64_t before = fetch_and_acquire(CLAIM_EMPTY, cell, ~((uint64_t)bits << 32));
    return hak_mask_empty(before) & bits;
}

static void publish(uint32_t unit, unsigned units, bool empty)
{
    uint32_t superslab = unit / SUPERSLAB_UNITS;
    uint64_t bits = hak_run_bits(unit % SUPERSLAB_UNITS, units);
    // Releases tags, records and contents of the units to whoever claims them next. Dekker: HINT_*.
    uint64_t before = fetch_or_seq_cst(GIVE, &hak_arena.masks[superslab],
                                       empty ? bits << 32 : bits);
    HAK_ASSERT(((before | before >> 32) & bits) == 0);
    (void)before;
    uint64_t hint = (uint64_t)1 << superslab % 64;
    struct atomic_u64 *free_hint = hak_superslab_hint(superslab, false);
    struct atomic_u64 *empty_hint = hak_superslab_hint(superslab, true);
    if ((load_seq_cst(GIVE_FREE_LOOK, free_hint) & hint) == 0)
        fetch_or_relaxed(GIVE_FREE_HINT, free_hint, hint);
    if (empty && (load_seq_cst(GIVE_EMPTY_LOOK, empty_hint) & hint) == 0)
        fetch_or_relaxed(GIVE_EMPTY_HINT, empty_hint, hint);
}

void hak_superslab_give(uint32_t unit, unsigned units, bool empty)
{
    if (!empty)
        add_committed(-(int)units);
    publish(unit, units, empty);
}

bool hak_superslab_begin(uint32_t count, uint32_t units, uint32_t expected_begun, uint32_t *unit)
{
    lock_acquire(&superslabs.lock);
    uint32_t begun = load_relaxed(BEGIN_LOAD, &superslabs.begun);
    if ((expected_begun != UINT32_MAX && begun != expected_begun) ||
        count > hak_arena.superslabs - begun || !hak_arena_commit(begun, count)) {
        lock_release(&superslabs.lock);
        return false;
    }
    *unit = begun * SUPERSLAB_UNITS;
    if (MITIGATE_GUARDS && units % SUPERSLAB_UNITS != 0)
        (void)hak_guard_close_superslab(begun + count - 1);
    // Publishes the committed memory; units that stay ACTIVE for the caller have word 0 already.
    store_release(BEGIN_STORE, &superslabs.begun, begun + count);
    lock_release(&superslabs.lock);
    add_committed((int)units);
    uint32_t rest = count * SUPERSLAB_UNITS - units;
    if (rest != 0)
        publish(*unit + units, rest, false);
    return true;
}

uint32_t hak_superslab_next(uint32_t from, bool empty)
{
    uint32_t begun = hak_superslabs_begun();
    for (uint32_t i = from; i < begun; i = (i / 64 + 1) * 64) {
        uint64_t word = load_relaxed(HINT_READ, hak_superslab_hint(i, empty)) >> i % 64;
        if (word != 0) {
            i += lowest_bit(word);
            return i < begun ? i : UINT32_MAX;
        }
    }
    return UINT32_MAX;
}

void hak_superslab_clear_hint(uint32_t superslab, bool empty)
{
    struct atomic_u64 *hints = hak_superslab_hint(superslab, empty);
    uint64_t hint = (uint64_t)1 << superslab % 64;
    fetch_and_seq_cst(HINT_CLEAR, hints, ~hint); // then a second look (lemma H)
    uint64_t word = load_seq_cst(HINT_RECHECK, &hak_arena.masks[superslab]);
    if (hak_mask_empty(word) != 0 || (!empty && hak_mask_unused(word) != 0))
        fetch_or_relaxed(HINT_RESTORE, hints, hint);
}

bool hak_superslab_ok(uint32_t superslab)
{
    uint64_t word = hak_superslab_word(superslab);
    return (hak_mask_empty(word) & hak_mask_unused(word)) == 0;
}

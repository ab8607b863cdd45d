// superslab.h: the state of units, and claiming them.
//
// A unit is UNUSED (never used, or its memory was given back: reads as zero), EMPTY (no block in
// it, memory still committed) or ACTIVE (neither bit set: it belongs to whoever claimed it). The
// states of a SuperSlab's 32 units are one 64-bit word, so that any change of any run of units is
// one compare-and-swap. Any thread; lock-free, except that beginning SuperSlabs takes a lock.
#ifndef HAK_SUPERSLAB_H
#define HAK_SUPERSLAB_H

#include <seam/atomics.h>

#include "arena.h"

// A run of units, all in one SuperSlab unless said otherwise.
struct run {
    uint32_t unit; // index of the first in the arena
    uint32_t units;
    uint32_t warm; // bit i: unit + i was EMPTY, its contents are not zero (runs of one SuperSlab)
};

// Position of `units` neighbouring set bits of `available`, the first at a multiple of `align` (a
// power of two), the lowest such; SUPERSLAB_UNITS if there is none.
unsigned hak_run_find(uint32_t available, unsigned units, unsigned align);

// Every such position.
uint32_t hak_run_starts(uint32_t available, unsigned units, unsigned align);

// The word of a SuperSlab: EMPTY units in the high half, UNUSED ones in the low half.
static inline uint32_t hak_mask_empty(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

static inline uint32_t hak_mask_unused(uint64_t word)
{
    return (uint32_t)word;
}

static inline uint32_t hak_run_bits(unsigned first, unsigned units)
{
    return (uint32_t)(((uint64_t)1 << units) - 1) << first;
}

// The word of hints that has the SuperSlab's bit: it may have free units, or EMPTY ones.
static inline struct atomic_u64 *hak_superslab_hint(uint32_t superslab, bool empty)
{
    return hak_arena.masks - 1 - (2 * (size_t)(superslab / 64) + empty);
}

// SuperSlabs begun so far: their units are in one of the three states, those of others in none.
uint32_t hak_superslabs_begun(void);
const void *hak_superslabs_begun_at(void); // where that number lies, 32 bits
uint64_t hak_superslab_word(uint32_t superslab);
size_t hak_superslab_bytes_committed(void); // ACTIVE and EMPTY units
size_t hak_superslab_bytes_committed_peak(void);

// Claims a run of exactly `units` in the given SuperSlab; `empty_only`: of EMPTY units alone.
bool hak_superslab_claim(uint32_t superslab, unsigned units, unsigned align, bool empty_only,
                         struct run *out);

// Which units may be claimed: EMPTY ones that no others lie beside, so that no longer run is split;
// EMPTY ones; or UNUSED ones too.
enum claim_from { FROM_WHOLE, FROM_EMPTY, FROM_ANY };

// What is asked for: a run of `units` from a multiple of `align` on, which may be of the kind
// (types.h), at a place that `random` chooses.
struct wanted {
    unsigned kind, units, align;
    uint32_t random; // MITIGATE_RANDOM: 32 random bits, for the whole of a search
};

bool hak_superslab_claim_wanted(uint32_t superslab, const struct wanted *w, enum claim_from from,
                                struct run *out);

// Claims the given units, all of them or none.
bool hak_superslab_claim_at(uint32_t unit, unsigned units, struct run *out);

// Claims those EMPTY units that are in `bits`: for the purger. Returns the ones it got.
uint32_t hak_superslab_claim_empty(uint32_t superslab, uint32_t bits);

// Gives back claimed units of one SuperSlab as EMPTY, or as UNUSED (their memory reads as zero).
void hak_superslab_give(uint32_t unit, unsigned units, bool empty);

// Begins `count` SuperSlabs after the last; the first `units` units of them are claimed for the
// caller, the rest (less than one SuperSlab) are UNUSED. Fails without effect if no room is left,
// if the system refuses, or if the number begun is not `expected_begun` (UINT32_MAX: any), for a
// caller whose run must follow what it has claimed already. *unit: the first of the new units.
bool hak_superslab_begin(uint32_t count, uint32_t units, uint32_t expected_begun, uint32_t *unit);

// The next SuperSlab at or after `from` that may have free (or EMPTY) units; UINT32_MAX: none.
uint32_t hak_superslab_next(uint32_t from, bool empty);

// Notes that a SuperSlab was seen without EMPTY (free) units, so that it is not looked at again
// until some are given back.
void hak_superslab_clear_hint(uint32_t superslab, bool empty);

// Whether the word is possible: no unit is both EMPTY and UNUSED.
bool hak_superslab_ok(uint32_t superslab);

void hak_superslabs_start(void);

struct lock;
const struct lock *hak_superslabs_lock(void); // for statistics

#endif

// pool.h: the shared pool of units: where slabs, large and huge blocks come from and go to.
//
// Any thread. Lock-free but for beginning a SuperSlab and placing a huge run.
#ifndef HAK_POOL_H
#define HAK_POOL_H

#include "superslab.h"

enum pool_stage {
    POOL_NONE = 0,    // nothing: no room, or the system refused memory
    POOL_FROM_EMPTY,  // units whose memory is still committed
    POOL_FROM_UNUSED, // units of a SuperSlab already begun
    POOL_FROM_NEW,    // a SuperSlab was begun
};

// How far an acquire may go.
enum pool_effort {
    POOL_BEGUN,      // stages 1 and 2: no new SuperSlab
    POOL_ANY,        // and stage 3
    POOL_EXHAUSTIVE, // every SuperSlab is looked at, and runs down to units_min are taken
};

// Acquires a run of `units` (1 to SUPERSLAB_UNITS) whose first unit is a multiple of `align` units.
enum pool_stage hak_pool_acquire(unsigned units, unsigned units_min, unsigned align,
                                 enum pool_effort effort, struct run *out);

// The same for units of a kind (types.h).
enum pool_stage hak_pool_acquire_kind(unsigned kind, unsigned units, unsigned units_min,
                                      unsigned align, enum pool_effort effort, struct run *out);

// Gives a run back as EMPTY: its memory stays committed for the purge delay. Its record ended.
void hak_pool_release(uint32_t unit, unsigned units, uint64_t now_ms);

// A run of any length that begins at a SuperSlab whose address is a multiple of `align` (bytes, a
// power of two). `zero`: its memory reads as zero on return. out->warm is not set.
enum pool_stage hak_pool_acquire_huge(size_t units, size_t align, bool zero, struct run *out);

// Extends a run in place by the `units` units from `unit` on, which follow it. All or nothing.
bool hak_pool_extend(uint32_t unit, size_t units);

// Zeroes those units of a run that are warm: the others read as zero already.
void hak_pool_zero_warm(const struct run *r);

// As hak_pool_release for runs of any length; `empty` false: their memory reads as zero.
void hak_pool_release_huge(uint32_t unit, size_t units, bool empty, uint64_t now_ms);

// Gives the memory of units that have been EMPTY for `delay_ms` back to the system, at most
// `units_max` of them. Returns how many.
size_t hak_pool_purge(uint64_t now_ms, uint64_t delay_ms, size_t units_max);

// On every slow path: whether it is time for a purge (true for one thread at a time).
bool hak_pool_tick(uint64_t now_ms, uint64_t delay_ms);

size_t hak_pool_empty_units(void); // walks the begun SuperSlabs

void hak_pool_start(void);

#endif

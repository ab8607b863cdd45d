// counters.h: what a heap counts, beside its work and for statistics only.
//
// The owner of the heap writes with plain loads and stores; any thread reads (stats.h), also in a
// signal handler. Nothing counts on the hit paths of malloc and free: what they did follows from
// what the slow paths saw, as far as it can (hakmem.h has the equations).
#ifndef HAK_COUNTERS_H
#define HAK_COUNTERS_H

#include <seam/atomics.h>

#include "config.h"
#include "pool.h"

// Where a refill took blocks from, one for each slab.
enum refill_source {
    REFILL_CURRENT,     // the slab that the class's last refill ended with
    REFILL_PARTIAL,     // another one of the heap's list
    REFILL_INBOX,       // one that the inbox brought
    REFILL_POOL_EMPTY,  // new from the pool, by its stage
    REFILL_POOL_UNUSED, //
    REFILL_POOL_NEW,    //
    REFILL_SOURCES
};
_Static_assert(REFILL_POOL_NEW - POOL_FROM_NEW == REFILL_POOL_EMPTY - POOL_FROM_EMPTY,
               "a stage of the pool and its source are a constant apart");

// Of one class of one heap. Two cache lines of metadata memory, from the class's first use on.
struct class_counters {
    // Mallocs that found a block: those that are certain, or all of them with count_hits.
    struct own_u64 malloc_hits;
    struct own_u64 malloc_misses; // mallocs served by a slow path
    struct own_u64 free_misses;   // frees that came to one
    struct own_u64 refilled;      // blocks, slab to magazine
    struct own_u64 flushed;       // blocks, to slabs of any owner
    struct own_u64 flushed_remote;
    struct own_u64 runs; // of neighbours, one slab and word each, that they were flushed in
    struct own_u64 runs_remote;
    struct own_u64 taken[REFILL_SOURCES]; // slabs that refills took from
    struct own_u32 left;                  // blocks in the magazine as a slow path left it
    uint32_t current;       // owner only: the slab that the last refill ended with, its unit + 1
    uint32_t refilled_then; // owner only: `refilled` when the heap was trimmed, low half
};
_Static_assert(sizeof(struct class_counters) <= 2 * CACHE_LINE, "what docs/METRICS.md says");

// Where a large or huge block came from.
enum large_source {
    LARGE_KEPT, // one that the heap had freed just before
    LARGE_POOL_EMPTY,
    LARGE_POOL_UNUSED,
    LARGE_POOL_NEW,
    LARGE_SOURCES
};
_Static_assert((int)LARGE_POOL_NEW == (int)POOL_FROM_NEW, "sources are the pool's stages");

// Of one heap.
struct heap_counters {
    struct own_u64 failures; // mallocs that ended in NULL
    struct own_u64 released; // slabs given to the pool
    struct own_u64 flushes;
    struct own_u64 drains, drained_slabs, drained; // drained: blocks
    struct own_u64 sweeps, adopted;                // heaps looked at; slabs taken over
    struct own_u64 purges, purged_units;
    struct own_u64 large_taken[LARGE_SOURCES];
    // Large and huge blocks: handed out less freed by this heap, and their usable bytes. Sums over
    // all heaps are what is live; one heap's may be negative (modulo 2^64).
    struct own_u64 large, huge, large_bytes;
};

// Adds to a counter of the calling thread's heap.
static inline void hak_count(struct own_u64 *counter, uint64_t n)
{
    own_store(counter, own_load(counter) + n);
}

#endif

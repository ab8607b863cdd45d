// arena.h: the address range of all blocks, and the tables that lie beside it.
//
// "Is this pointer ours?" is one subtraction and one comparison; "what is it?" one byte of the tag
// table. The range is reserved once and never moves or shrinks.
#ifndef HAK_ARENA_H
#define HAK_ARENA_H

#include <seam/atomics.h>

#include "config.h"

// Immutable after hak_arena_start. Before it no pointer is ours.
struct ON_SEALED_PAGE arena {
    char *base;                     // multiple of SUPERSLAB_SIZE
    size_t bytes;                   // multiple of SUPERSLAB_SIZE
    struct atomic_u8 *tags;         // one per unit, readable over its whole length
    char *records;                  // RECORD_SIZE bytes per unit, committed as SuperSlabs are begun
    struct atomic_u32 *stamps;      // per unit: when it became EMPTY, ms; committed as the records
    struct atomic_u64 *masks;       // one word per SuperSlab: see superslab.h
    struct atomic_u64 *free_hints;  // one bit per SuperSlab
    struct atomic_u64 *empty_hints; // one bit per SuperSlab
    char *meta;                     // metadata memory, committed as it is used: see meta.h
    size_t meta_bytes;
    uint32_t superslabs; // that fit in the arena
};

extern struct arena hak_arena __attribute__((visibility("hidden")));

// Reserves the arena and its tables, the largest that the address space, RLIMIT_AS and `bytes_max`
// (0: no bound; less than ARENA_SIZE_MIN counts as that) allow. False if not even the smallest
// fits; may be called again later.
bool hak_arena_start(size_t bytes_max);

// Makes the records and the blocks of `count` SuperSlabs from `first` on accessible. The caller
// holds the lock of superslab.c and begins SuperSlabs in ascending order. False: nothing begun.
bool hak_arena_commit(uint32_t first, uint32_t count);

// Bytes committed for tables and records so far.
size_t hak_arena_metadata_bytes(void);

static inline bool hak_arena_has(const void *p)
{
    return (size_t)((uintptr_t)p - (uintptr_t)hak_arena.base) < hak_arena.bytes;
}

// Index of the unit that p lies in; p is in the arena.
static inline uint32_t hak_unit_of(const void *p)
{
    return (uint32_t)((size_t)((const char *)p - hak_arena.base) >> UNIT_SHIFT);
}

static inline char *hak_unit_base(uint32_t unit)
{
    return hak_arena.base + ((size_t)unit << UNIT_SHIFT);
}

// The tag of the unit that p lies in. A stale value is possible only for a pointer that the caller
// does not own: whoever was handed a block was handed its tag before it.
static inline unsigned hak_tag_of(const void *p)
{
    size_t unit = ((size_t)p - (size_t)hak_arena.base) >> UNIT_SHIFT;
    return load_relaxed(ARENA_TAG_READ, &hak_arena.tags[unit]);
}

void hak_set_tags(uint32_t unit, uint32_t units, unsigned tag);

// ---- MITIGATE_STATE: a bit per MALLOC_ALIGN bytes of the arena: a block that is handed out begins
// here. Committed as the records; zero where nothing is handed out, whatever lay there before.

struct ON_SEALED_PAGE live_table {
    struct atomic_u64 *bits;
};
extern struct live_table hak_live __attribute__((visibility("hidden")));

static inline struct atomic_u64 *hak_live_word(const void *p)
{
    return &hak_live.bits[((size_t)p - (size_t)hak_arena.base) / (64 * MALLOC_ALIGN)];
}

static inline uint64_t hak_live_bit(const void *p)
{
    return (uint64_t)1 << ((size_t)p - (size_t)hak_arena.base) / MALLOC_ALIGN % 64;
}

// p is handed out from now on. Returns whether it was already.
static inline bool hak_live_set(const void *p)
{
    uint64_t bit = hak_live_bit(p);
    return (fetch_or_relaxed(LIVE_SET, hak_live_word(p), bit) & bit) != 0;
}

// p came back. Of several threads that free the same block exactly one gets true.
static inline bool hak_live_clear(const void *p)
{
    uint64_t bit = hak_live_bit(p);
    return (fetch_and_relaxed(LIVE_CLEAR, hak_live_word(p), ~bit) & bit) != 0;
}

static inline bool hak_live_is_set(const void *p)
{
    return (load_relaxed(LIVE_READ, hak_live_word(p)) & hak_live_bit(p)) != 0;
}

#endif

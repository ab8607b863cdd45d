// arena.h: the address range of all blocks, and the tables that lie beside it.
//
// "Is this pointer ours?" is one subtraction and one comparison; "what is it?" one byte of the tag
// table. The range is reserved once and never moves or shrinks.
#ifndef HAK_ARENA_H
#define HAK_ARENA_H

#include <seam/atomics.h>
#include <seam/thread.h>

#include "config.h"

// Immutable after hak_arena_start. Before it no pointer is ours.
struct ON_SEALED_PAGE arena {
    char *base;                // multiple of SUPERSLAB_SIZE
    size_t bytes;              // multiple of SUPERSLAB_SIZE
    struct atomic_u8 *tags;    // one per unit, readable over its whole length
    char *records;             // RECORD_SIZE bytes per unit, committed as SuperSlabs are begun
    struct atomic_u32 *stamps; // per unit: when it became EMPTY, ms; committed as the records
    char *far_words;           // FAR_SIZE bytes per unit, committed as the records: see slab.h
    struct atomic_u64 *masks;  // one word per SuperSlab: see superslab.h; hints lie before it
    char *meta;                // metadata memory, committed as it is used: see meta.h
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

// Commits `bytes` at p, behind what is committed of a region that ends at `end` and grows by `step`
// bytes or more at a time. The caller holds the region's lock. False: it is as it was.
bool hak_arena_commit_more(char *p, size_t bytes, size_t step, const char *end);

// Bytes committed for tables and records so far.
size_t hak_arena_metadata_bytes(void);

static inline bool hak_arena_has(const void *p)
{
    return (size_t)((uintptr_t)p - (uintptr_t)hak_arena.base) < hak_arena.bytes;
}

// As !hak_arena_has, where NULL comes too.
static inline bool hak_arena_lacks(const void *p)
{
    return WITHOUT_FOREIGN ? p == NULL : !hak_arena_has(p);
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

// ---- MITIGATE_STATE: a byte per MALLOC_ALIGN bytes of the arena: the state of the block that
// begins there. Where none ever began it is LIVE_NEVER; where one did in an earlier life of the
// units, and none does now, what it was. Committed as the records. A byte and not bits, so that
// handing a block out is a plain store.

enum live_state {
    LIVE_NEVER = 0, // not handed out yet
    LIVE_NOW = 1,   // handed out
    LIVE_FREED = 2, // it was, and came back
};

struct ON_SEALED_PAGE live_table {
    uintptr_t origin;        // where the byte of address 0 would be
    struct atomic_u8 *kinds; // MITIGATE_TYPES: one per unit: types.h
};
extern struct live_table hak_live __attribute__((visibility("hidden")));

static inline struct atomic_u8 *hak_live_byte(const void *p)
{
    return (struct atomic_u8 *)(hak_live.origin + (uintptr_t)p / MALLOC_ALIGN);
}

// No block of the claimed units is handed out, and their memory was given back: the states of whole
// pages of the table go back too, and are LIVE_NEVER again.
void hak_live_forget(uint32_t unit, uint32_t units);

// p is handed out from now on. False if it was already.
static inline bool hak_live_set(const void *p)
{
    struct atomic_u8 *byte = hak_live_byte(p);
    bool was = load_relaxed(LIVE_WAS, byte) == LIVE_NOW;
    store_relaxed(LIVE_SET, byte, LIVE_NOW);
    return !was;
}

// p came back. Returns what its state was: of several threads that free the same block exactly one
// gets LIVE_NOW, and for the others it is a mistake.
static inline enum live_state hak_live_clear(const void *p)
{
    struct atomic_u8 *byte = hak_live_byte(p);
    if (thread_is_alone()) { // a locked instruction waits for all that was begun before it
        enum live_state was = load_relaxed(LIVE_ALONE_WAS, byte);
        store_relaxed(LIVE_ALONE, byte, LIVE_FREED);
        return was;
    }
    // Relaxed: it elects one. The byte's next LIVE_NOW comes after it on the block's way to its
    // next user.
    return exchange_relaxed(LIVE_CLEAR, byte, LIVE_FREED);
}

static inline bool hak_live_is_set(const void *p)
{
    return load_relaxed(LIVE_READ, hak_live_byte(p)) == LIVE_NOW;
}

#endif

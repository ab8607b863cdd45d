// held.h: freed large and huge blocks whose addresses are held back, inaccessible and without
// memory, before they can be handed out again. Hardened flavour only.
//
// Owner of the heap only, inside of the fork gate. A held block keeps its record and tags, with
// live == 0: a second free is told as one, and any access is stopped by the kernel.
#ifndef HAK_HELD_H
#define HAK_HELD_H

#include "slab.h"

struct held {
    struct slab *oldest, *newest; // a queue by `next` of the records
    uint32_t count;               // above HELD_BLOCKS_MAX only while the system refuses
    size_t units;                 // of all of them, with their guards
};

// Holds the block, which was freed and whose guards are no longer counted, back; older ones go to
// the pool. False, and the block is as it was, if the system refuses, the block is too long, or
// other heaps hold too much already.
bool hak_held_add(struct held *held, struct slab *s, uint64_t now_ms);

static inline uint32_t hak_held_count(const struct held *held)
{
    return held->count;
}

// Keeps a freed block that the system does not make accessible as a whole: it waits for better
// times.
void hak_held_keep(struct held *held, struct slab *s, uint64_t now_ms);

// Gives all to the pool, but for those that the system does not make accessible again.
void hak_held_release(struct held *held, uint64_t now_ms);

#endif

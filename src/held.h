// held.h: freed large and huge blocks of a heap: held back before they can be handed out again
// (MITIGATE_QUARANTINE), and kept with their guards for the next request of their length. Hardened
// flavour only.
//
// With the quarantine nobody can access a held block, and it is not handed out before another was
// freed. Owner of the heap only, inside of the fork gate. A held block keeps its record, tags and
// guards, with live == 0: a second free is told as one. The memory of those that were freed last
// stays, to a bound and for the purge delay: page faults are what a large block costs.
#ifndef HAK_HELD_H
#define HAK_HELD_H

#include "slab.h"

struct held {
    struct slab *oldest, *newest; // a queue by `next` of the records
    uint32_t count;               // above HELD_BLOCKS_MAX only while the system refuses
    uint32_t warm;                // of those whose memory is still there: their units
    size_t units;                 // of all of them, with their guards
};

// Holds the block, which was freed, back: `end` bytes of it are accessible. Older ones go to the
// pool. False, and the block is as it was, if the system refuses, the block is too long, or other
// heaps hold too much already.
bool hak_held_add(struct held *held, struct slab *s, size_t end, uint64_t now_ms);

// What is asked for: `units`, of which `end` bytes are to be accessible, at a multiple of `align`.
struct held_request {
    enum slab_state state;
    uint32_t units, spare; // it may be longer by so many
    size_t end, align;
    bool zero;  // it reads as zero; with FREE_IS_ZERO or the quarantine always
    bool grows; // the longest is the best
};

// The memory of the block that was freed last, which is not handed out yet, moves to `to`, which is
// accessible or not: to its `end`, where both are as long. False: it was to and is lost, and what
// is accessible of `to` is unknown.
bool hak_held_lend(struct held *held, struct slab *to, size_t end);

// Takes a block out, with its guards, accessible. NULL if there is none, or the system refuses.
struct slab *hak_held_take(struct held *held, const struct held_request *want);

// Keeps a freed block that the system does not make accessible as a whole: it waits for better
// times. `end`: how much of it is accessible; 0: nothing need be.
void hak_held_keep(struct held *held, struct slab *s, size_t end, uint64_t now_ms);

// Gives back the memory of blocks that were freed `delay_ms` ago or before.
void hak_held_trim(struct held *held, uint64_t now_ms, uint64_t delay_ms);

// Gives all to the pool, but for those that the system does not make accessible again.
void hak_held_release(struct held *held, uint64_t now_ms);

static inline uint32_t hak_held_count(const struct held *held)
{
    return held->count;
}

#endif

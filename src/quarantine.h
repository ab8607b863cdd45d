// quarantine.h: freed blocks of a heap that wait before they can be handed out again.
//
// A block waits in a random place, until another takes it, and then in a queue. Owner of the heap
// only; a fork may copy it at any moment, and what the child has then holds no block twice.
#ifndef HAK_QUARANTINE_H
#define HAK_QUARANTINE_H

#include <seam/atomics.h>

#include "config.h"

struct quarantine {
    struct own_ptr shuffled[QUARANTINE_SHUFFLED]; // NULL: no block
    struct own_ptr queue[QUARANTINE_QUEUE];       // entries [taken, added), modulo its length
    struct own_u32 added, taken;
    // Kept by those who want the bytes bounded.
    struct own_u64 bytes;  // of all blocks, at least
    struct own_ptr latest; // the block that was added last, which stays
    struct own_u64 filled; // places that may hold a block, noted before they do; 0: any may
};

_Static_assert(is_power_of_two_constant(QUARANTINE_QUEUE), "indices wrap around");
_Static_assert(is_power_of_two_constant(QUARANTINE_SHUFFLED), "places are random bits");
_Static_assert(QUARANTINE_SHUFFLED <= 64, "a bit for each place");

#define QUARANTINE_BITS highest_bit(QUARANTINE_SHUFFLED)

// Takes the oldest of the queue, which holds one.
static inline void *hak_quarantine_dequeue(struct quarantine *q)
{
    uint32_t taken = own_load(&q->taken);
    void *p = own_load(&q->queue[taken % QUARANTINE_QUEUE]);
    own_store(&q->taken, taken + 1);
    own_order();
    return p;
}

// The freed block waits from now on. Returns one that need not any longer because there are too
// many, or NULL. Each step takes a block out of one place before it stores it in the next: a fork
// between them loses it for the child, where it stays unused.
// `at` is random, of QUARANTINE_BITS bits.
ALWAYS_INLINE void *hak_quarantine_add(struct quarantine *q, uint32_t at, void *p)
{
    struct own_ptr *place = &q->shuffled[at];
    void *displaced = own_load(place);
    own_store(place, p);
    own_order();
    if (unlikely(displaced == NULL))
        return NULL;
    uint32_t added = own_load(&q->added);
    void *due = added - own_load(&q->taken) == QUARANTINE_QUEUE ? hak_quarantine_dequeue(q) : NULL;
    own_store(&q->queue[added % QUARANTINE_QUEUE], displaced);
    own_order();
    own_store(&q->added, added + 1);
    return due;
}

static inline void hak_quarantine_note(struct quarantine *q, uint32_t at)
{
    own_store(&q->filled, own_load(&q->filled) | (uint64_t)1 << at);
    own_order();
}

// Any block but `latest`: the oldest of the queue first. NULL if there is none.
void *hak_quarantine_take(struct quarantine *q, const void *latest);

// Block `i` of QUARANTINE_BLOCKS_MAX, or NULL: for statistics and audits.
void *hak_quarantine_at(const struct quarantine *q, uint32_t i);

#endif

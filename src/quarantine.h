// quarantine.h: freed blocks of a heap that wait before they can be handed out again.
//
// A block waits in a random place, until another takes it, and then in a queue. The bytes that wait
// are bounded. Owner of the heap only; a fork may copy it at any moment, and what the child has
// then holds no block twice.
#ifndef HAK_QUARANTINE_H
#define HAK_QUARANTINE_H

#include <seam/atomics.h>

#include "config.h"
#include "random.h"

struct quarantine {
    struct own_ptr shuffled[QUARANTINE_SHUFFLED]; // NULL: no block
    struct own_ptr queue[QUARANTINE_QUEUE];       // entries [taken, added), modulo its length
    struct own_u32 added, taken;
    struct own_u32 latest; // place in shuffled[] of the block that was added last
    struct own_u64 bytes;  // of all blocks, at least
};

// Any block, until none is left.
void *hak_quarantine_take(struct quarantine *q);

// The freed block waits from now on. Returns one that need not any longer because there are too
// many, or NULL. Then the caller takes what hak_quarantine_due gives, to NULL.
void *hak_quarantine_add(struct quarantine *q, struct random_source *random, void *p, size_t bytes);

// A block that need not wait any longer because there are too many bytes.
static inline void *hak_quarantine_due(struct quarantine *q)
{
    return unlikely(own_load(&q->bytes) > QUARANTINE_BYTES_MAX) ? hak_quarantine_take(q) : NULL;
}

// Block `i` of QUARANTINE_BLOCKS_MAX, or NULL: for statistics and audits.
void *hak_quarantine_at(const struct quarantine *q, uint32_t i);

#endif

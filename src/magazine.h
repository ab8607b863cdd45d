// magazine.h: a stack of free blocks of one class, in the hands of one thread.
//
// Hit paths pop and push without a call. All else is for the owner of the heap that it belongs to,
// but for the count, which anyone may read.
#ifndef HAK_MAGAZINE_H
#define HAK_MAGAZINE_H

#include <seam/atomics.h>

#include "config.h"

enum miss {
    MISS_EMPTY = 0, // a malloc found it empty
    MISS_FULL,      // a free found it full
};

// slots[0] is NULL, the sentinel of an empty stack; blocks are slots[1] to top[-1]; full when
// top == limit.
struct magazine {
    struct own_ptr top;   // void **: the slot that the next free writes
    void **limit;         // owner only
    struct own_ptr slots; // void **: room + 1 pointers of metadata memory; NULL before first use
    struct own_u32 capacity;

    // Owner only.
    uint16_t room; // blocks that the memory of `slots` holds: at least the capacity
    uint8_t miss;  // enum miss: the latest, see cache.c
    uint8_t run;   // so many of the kind after each other; 0: none since the cache looked last
};
_Static_assert(MAGAZINE_BLOCKS_MAX <= UINT16_MAX, "room");
_Static_assert(sizeof(struct magazine) == 32, "hit paths compute its address with a shift");

// Slot 0: the sentinel; slot 1: a limit, never written.
extern void *hak_no_slots[2] __attribute__((visibility("hidden")));
// clang-format off
#define NO_MAGAZINE { .top = { &hak_no_slots[1] }, .limit = &hak_no_slots[1] }
// clang-format on

static inline void **hak_magazine_slots(const struct magazine *m)
{
    return own_load(&m->slots);
}

// Blocks in a magazine: exact for its owner, at most its capacity for others.
static inline uint32_t hak_magazine_count(const struct magazine *m)
{
    void **slots = own_load(&m->slots);
    size_t used = (size_t)((void **)own_load(&m->top) - slots) - 1;
    return slots == NULL || used > own_load(&m->capacity) ? 0 : (uint32_t)used;
}

// Blocks that move at once between it and the slabs: few after a miss of the other kind, because
// the next one may come back, twice as many with each of the same kind, up to half of the capacity.
static inline uint32_t hak_magazine_batch(const struct magazine *m)
{
    uint32_t half = (own_load(&m->capacity) + 1) / 2;
    uint32_t batch = half >> (MAGAZINE_RUN_MAX - m->run);
    uint32_t least = half < MAGAZINE_BATCH_LEAST ? half : MAGAZINE_BATCH_LEAST;
    return batch > least ? batch : least;
}

// The block that the next pop gives, or NULL.
ALWAYS_INLINE void *hak_magazine_next(const struct magazine *m)
{
    return ((void **)own_load(&m->top))[-1]; // the sentinel if empty
}

// Pops the newest block; NULL if the magazine is empty.
ALWAYS_INLINE void *hak_magazine_pop(struct magazine *m)
{
    void **top = own_load(&m->top);
    void *p = top[-1]; // the sentinel if empty
    if (likely(p != NULL))
        own_store(&m->top, top - 1);
    return p;
}

// The same of any class of what the thread's word points to, whether or not that is a heap.
ALWAYS_INLINE void *hak_magazine_pop_any(struct magazine *m)
{
    return likely(own_load(&m->top) != NULL) ? hak_magazine_pop(m) : NULL;
}

// False if the magazine is full.
ALWAYS_INLINE bool hak_magazine_push(struct magazine *m, void *p)
{
    void **top = own_load(&m->top);
    if (unlikely(top == m->limit))
        return false;
    *top = p;
    own_order(); // a fork's snapshot has the slot before the top that counts it
    own_store(&m->top, top + 1);
    return true;
}

// Sets the capacity, 2^k - 1 blocks or 0 and not below the count. False: for want of metadata
// memory it is as it was.
bool hak_magazine_resize(struct magazine *m, uint32_t capacity);

// Whether top, limit and capacity agree.
bool hak_magazine_ok(const struct magazine *m);

#endif

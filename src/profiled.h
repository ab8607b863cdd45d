// profiled.h: slabs of sampled blocks (profile.h), of all threads and each class: their units have
// a tag of their own, TAG_PROFILED, whose magazines are always full, so that a free of such a block
// comes to the slow path without a test on the hit path.
//
// Any thread, inside of the fork gate. `h` is the calling thread's heap, or NULL.
#ifndef HAK_PROFILED_H
#define HAK_PROFILED_H

#include "heap.h"

// A block of the class, contents undefined (hardened: zero). NULL: no units are free.
void *hak_profiled_alloc(struct heap *h, unsigned class_index);

// Frees p, whose tag is TAG_PROFILED. A mistake is a fault, at once.
void hak_profiled_free(struct heap *h, void *p);

// The class of the block at p, whose tag is TAG_PROFILED.
static inline unsigned hak_profiled_class(const void *p)
{
    return own_load(&hak_slab_of_unit(hak_unit_of(p))->class_index);
}

// For the audit: whether the slab is one of these, how many are in their lists, and the inbox that
// late notifications of old lives come to.
bool hak_profiled_owns(const struct slab *s);
uint32_t hak_profiled_listed(void);
const struct inbox *hak_profiled_inbox(void);

struct lock;
const struct lock *hak_profiled_lock(void); // for statistics

void hak_profiled_start(void);

#endif

// cache.h: how many blocks each magazine of a heap may hold.
//
// Owner of the heap only, inside of the fork gate.
#ifndef HAK_CACHE_H
#define HAK_CACHE_H

#include "heap.h"

// A malloc found the magazine of the class empty: gives it more capacity if that is of use. False
// if it has none at all.
bool hak_cache_grow(struct heap *h, unsigned class_index);

// A free found the magazine of the class full: gives it more capacity if that is of use, else its
// oldest blocks go to the slabs. The free then does hak_heap_after. False if it has no capacity at
// all.
bool hak_cache_make_room(struct heap *h, unsigned class_index);

// Gives the magazine of the class room for so many blocks, as far as the bounds let it, before
// anybody misses. Returns its capacity.
uint32_t hak_cache_reserve(struct heap *h, unsigned class_index, uint32_t blocks);

// Makes the magazines of a heap that goes idle, which are empty, small again: its next thread
// starts slowly, as one with a new heap does.
void hak_cache_restart(struct heap *h);

// Halves each magazine that was not refilled since the last call, and releases the large runs that
// were of no use: a cache that is not needed decays, but for what was prewarmed. About once per
// purge delay.
void hak_cache_trim(struct heap *h);

#endif

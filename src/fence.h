// fence.h: the guards of one large or huge block: inaccessible regions before and behind it.
//
//   |first guard: `lead` units|u|u|u|.. block: `end` bytes|last guard|
//
// Holder of the block only. MITIGATE_GUARDS only. A guard that there cannot be (guard.h) is left
// out. In the record: `handed` is the lead, `touched` the last guard's length in bytes, and `place`
// the number of guards there are.
#ifndef HAK_FENCE_H
#define HAK_FENCE_H

#include "random.h"
#include "slab.h"

struct margin {
    uint32_t before, behind; // units
};

// Random lengths for a block at a multiple of `align_units`: units that lie before it, and units
// behind it that it does not need.
struct margin hak_fence_margin(struct random_source *random, size_t align_units);

// Guards around a new block.
void hak_fence_set(struct slab *s, uint32_t lead, size_t end);

// The block is to be accessible to another end. False if the system refuses: nothing has changed.
// `keep`: what the guard takes stays in memory.
bool hak_fence_move(struct slab *s, size_t end, bool keep);

// The block grew: it is to be accessible to `end`, and the guard moves a part of what is behind it
// further, for the next steps. False as above.
bool hak_fence_grow(struct slab *s, size_t end);

// Bytes before the last guard: to the block's end, or more if it grew.
size_t hak_fence_open_bytes(const struct slab *s);

// The block, whose units are all inaccessible, becomes accessible to its end. False as above.
bool hak_fence_open(struct slab *s, size_t end);

// Makes the last guard accessible. False as above.
bool hak_fence_remove_last(struct slab *s);

// The guards become part of what is released.
void hak_fence_drop(struct slab *s);

#endif

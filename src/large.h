// large.h: blocks above the largest class: large (a run of units in one SuperSlab, to
// LARGE_SIZE_MAX) and huge (units from the begin of a SuperSlab on, as many as it takes).
//
// They have no owner: any thread, inside of the fork gate. NULL or false: no room. `h` is the
// calling thread's heap, which counts them; NULL only where said.
#ifndef HAK_LARGE_H
#define HAK_LARGE_H

#include "heap.h"

// Bytes that a block of n bytes may use: whole pages, at least one.
size_t hak_large_usable(size_t n);

// n in (CLASS_SIZE_MAX, LARGE_SIZE_MAX], or less with an alignment beyond the classes.
// `align`: a power of two up to SUPERSLAB_SIZE. `zero`: its memory reads as zero.
void *hak_large_alloc(struct heap *h, size_t n, size_t align, bool zero);

// For a block that grew and will again: where it can, if memory was kept there. n as above.
void *hak_large_alloc_growing(struct heap *h, size_t n);

// Any n, `align` any power of two.
void *hak_huge_alloc(struct heap *h, size_t n, size_t align, bool zero);

// The record of the live block that begins at p, whose tag is TAG_LARGE or TAG_HUGE; NULL if none
// does (p is inside of a block).
struct slab *hak_large_record(const void *p);

// Frees it. Of several threads that free the same block all but one get false: a double free. `h`
// may be NULL for a thread that cannot get a heap.
bool hak_large_free(struct heap *h, struct slab *s);

// Tries to make the block n bytes long without moving it; n > CLASS_SIZE_MAX.
bool hak_large_resize(struct heap *h, struct slab *s, size_t n);

// Moves a huge block to another place that holds n bytes by remapping its pages. NULL: not
// possible, copy instead.
void *hak_huge_move(struct heap *h, struct slab *s, size_t n);

// What is live: blocks, and their usable bytes. Summed over all heaps.
struct large_counts {
    uint64_t large, huge, bytes;
};
struct large_counts hak_large_live(void);

// Whether the block of the record is handed out; false: it was freed, and is kept or held back.
bool hak_large_is_live(const struct slab *s);

// Whether the profile knows of the live block: set by who holds it.
void hak_large_note_profiled(struct slab *s, bool known);
bool hak_large_is_profiled(const struct slab *s);

bool hak_large_ok(const struct slab *s);

void hak_large_start(void);

#endif

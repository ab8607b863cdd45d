// census.h: where the allocator believes each live block to be, at any scheduling point.
#ifndef FUZZ_CENSUS_H
#define FUZZ_CENSUS_H

#include "shadow.h"

// Holds the allocator's tags, records, bitmaps and magazines against the live blocks of the map: a
// live block is in no bitmap and no magazine, and its tag and record describe it. No other thread
// may run meanwhile; the allocator may be in the middle of anything. NULL, or what is wrong
// (static).
const char *census(const struct shadow *shadow);

// The user has freed this pointer once too often: that it lies in a magazine says nothing any more.
// NULL: none.
void census_allow(const void *stale);
const void *census_allowed(void);

// Whether the heap is a running thread's that is on no slow path of its own.
struct heap;
bool census_is_at_rest(const struct heap *h);

// Whether the arena, once set up, contains p; the next three ask it of those only.
bool census_knows(const void *p);
// How many bytes a free of p marks for sanitizers before anyone looks at p: those of a block of the
// class that is there now, at least 1.
size_t census_freed_bytes(const void *p);
// Whether the block that begins at p is in no slab: a user has it, or a magazine. False if none
// begins there. `marked`: a mark in the remote bitmap says nothing, as it may be another free's.
bool census_is_out(const void *p, bool marked);
// Whether the record of the units at p has marks in its remote bitmap.
bool census_has_marks(const void *p);

// At the end of an execution: units that the allocator calls UNUSED read as zero, which calloc
// relies on. NULL, or what is wrong. `whole`: looks at every byte. Speeds up the next reset.
const char *census_unused(bool whole);

#endif

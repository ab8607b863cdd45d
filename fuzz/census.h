// census.h: where the allocator believes each live block to be, at any scheduling point.
#ifndef FUZZ_CENSUS_H
#define FUZZ_CENSUS_H

#include "shadow.h"

// Holds the allocator's tags, records, bitmaps and magazines against the live blocks of the map: a
// live block is in no bitmap and no magazine, and its tag and record describe it. No other thread
// may run meanwhile; the allocator may be in the middle of anything. NULL, or what is wrong
// (static).
const char *census(const struct shadow *shadow);

#endif

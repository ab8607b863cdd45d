// outside.h: pointers that do not lie in the arena: blocks of size 0, sampled ones, mappings of
// their own, and what is not ours.
//
// Any thread; they enter the fork gate themselves.
#ifndef HAK_OUTSIDE_H
#define HAK_OUTSIDE_H

#include "fault.h"

// Frees p. What is not ours is counted with its call site (hardened: a fault).
void hak_outside_free(void *p, const void *call_site);

// Bytes that may be used of the block at p. A fault: `foreign` if p is not ours, `invalid` if it is
// and no block that is handed out begins there.
size_t hak_outside_usable(const void *p, enum fault foreign, enum fault invalid);

// Hardened: p must be what an allocation of n bytes can be, or, if `kept` (sized.c), of more; NULL
// and what is no block pass.
void hak_outside_check_sized(const void *p, size_t n, bool kept);

#endif

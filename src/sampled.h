// sampled.h: one of many allocations on a page of its own between inaccessible ones, so that a use
// after its free, or beyond its ends, is told exactly, with the stacks of its allocation and free.
//
// Off unless the option `sample` is set. Any thread, inside of the fork gate unless said otherwise.
// After GWP-ASan (K. Serebryany and others, "GWP-ASan: Sampling-Based Detection of Memory-Safety
// Bugs in Production", 2023).
#ifndef HAK_SAMPLED_H
#define HAK_SAMPLED_H

#include <seam/atomics.h>

#include "config.h"
#include "fault.h"

struct ON_SEALED_PAGE sampled_pool {
    char *base; // NULL: none
    size_t bytes;
};
extern struct sampled_pool hak_sampled __attribute__((visibility("hidden")));

// 1: allocations are looked at one by one (watched.h). Read by any thread, also before the set-up
// that it takes part in; until a thread has a heap, what it reads means nothing.
extern struct own_u32 hak_sampling __attribute__((visibility("hidden")));

// Any thread, anywhere.
static inline bool hak_sampled_has(const void *p)
{
    return (size_t)((uintptr_t)p - (uintptr_t)hak_sampled.base) < hak_sampled.bytes;
}

// Of a thread's allocations, how many are let by until one is sampled: random, on average what the
// option says.
int64_t hak_sampled_interval(void);

// A block of n bytes that read as zero, at a multiple of `align`, a power of two. NULL: it is too
// large, no place is left, or the system refuses.
void *hak_sampled_alloc(size_t n, size_t align);

// p is in the pool. A mistake is a fault, told with the stacks.
void hak_sampled_free(void *p);

// Bytes that were asked for at p, which is in the pool; the fault is `otherwise` if no block that
// is handed out begins there.
size_t hak_sampled_usable(const void *p, enum fault otherwise);

struct lock;
const struct lock *hak_sampled_lock(void); // for statistics

// Once at start, if the option is set. Refused: nothing is sampled.
void hak_sampled_start(void);

#endif

// watched.h: allocations that are looked at one by one, while hak_sampling is set: some are guarded
// (sampled.h), some are samples of the heap profile (profile.h).
//
// Any thread, outside of the fork gate unless said otherwise.
#ifndef HAK_WATCHED_H
#define HAK_WATCHED_H

#include <seam/sanitizer.h>
#include <seam/tls.h>

#include "heap.h"
#include "sampled.h"

static inline bool hak_is_watched(void)
{
    return unlikely(!WITHOUT_CHECKS && own_load(&hak_sampling) != 0);
}

// Counts a request of n bytes. Returns whether it may be its turn: the thread's heap says so, or
// there is none that could.
static inline bool hak_watched_turn(size_t n)
{
    struct heap *h = tls_heap();
    if (unlikely(!hak_heap_is_real(h)))
        return true;
    h->until_profile -= (int64_t)(n + (n == 0));
    h->until_sample--;
    return unlikely((h->until_profile | h->until_sample) < 0);
}

// The request of n bytes found the decoy at that offset in the heap, or there is no heap. Where it
// is nobody's turn and finds a block of its class: counts it and returns the block. NULL: nothing
// was counted. This is most of what a profile costs. (Decoy 0, of everybody else, finds nothing.)
ALWAYS_INLINE void *hak_watched_decoy(struct heap *h, size_t offset, size_t n)
{
    if (MITIGATE_BLOCKS)
        return NULL;
    int64_t until_profile = h->until_profile - (int64_t)n;
    if (unlikely(until_profile < 0)) // also where there is no heap
        return NULL;
    void *p = hak_magazine_pop(hak_heap_behind(h, offset));
    if (unlikely(p == NULL))
        return NULL;
    h->until_profile = until_profile;
    sanitize_take(p, n, hak_class_bytes(hak_class_of(n)));
    return p;
}

// The same of every size, whoever watches.
ALWAYS_INLINE void *hak_watched_hit(size_t n)
{
    struct heap *h = tls_heap();
    if (MITIGATE_BLOCKS || unlikely(n - 1 >= CLASS_REQUEST_MAX)) // 0 counts as 1: not here
        return NULL;
    int64_t until_profile = h->until_profile - (int64_t)n;
    int64_t until_sample = h->until_sample - 1;
    COMPUTED_ONCE(until_sample);                      // not as one vector of two
    if (unlikely((until_profile | until_sample) < 0)) // also where there is no heap
        return NULL;
    unsigned class_index = hak_class_of(n);
    void *p = hak_magazine_pop(&h->magazines[class_index]);
    if (unlikely(p == NULL))
        return NULL;
    h->until_profile = until_profile;
    h->until_sample = until_sample;
    if (unlikely(hak_options.count_hits != 0))
        hak_count(&hak_heap_counts(h, class_index)->malloc_hits, 1);
    sanitize_take(p, n, hak_class_bytes(class_index));
    return p;
}

// A request of the class that was counted and is nobody's turn: with the option count_hits it is
// counted as a hit too, if it will be one.
static inline void hak_watched_count(unsigned class_index)
{
    struct heap *h = tls_heap();
    if (hak_options.count_hits != 0 && hak_heap_is_real(h) &&
        hak_magazine_count(&h->magazines[class_index]) != 0)
        hak_count(&hak_heap_counts(h, class_index)->malloc_hits, 1);
}

// After hak_watched_turn, a block of the class for a request of n bytes at a multiple of `align`,
// if it is this one's turn; else NULL: the class serves it. *zero: it reads as zero.
void *hak_watched_alloc(unsigned class_index, size_t n, size_t align, bool *zero);

// All of these: counts the request, and returns a block if it is its turn.
static inline void *hak_watched_class(unsigned class_index, size_t n, size_t align, bool *zero)
{
    void *p = hak_watched_turn(n) ? hak_watched_alloc(class_index, n, align, zero) : NULL;
    if (p == NULL)
        hak_watched_count(class_index);
    return p;
}

// A large, huge or mapped block p of n bytes was allocated, which its user has not got yet. (It is
// never guarded.)
void hak_watched_large(void *p, size_t n);

// Frees p, whose tag is TAG_PROFILED. Inside of the gate; `h` as hak_profiled_free.
void hak_watched_free(struct heap *h, void *p);

// The large or huge block changes its size in place: to the profile that is a free, and the caller
// then calls hak_watched_large. Inside of the gate.
void hak_watched_resize(struct slab *s);

#endif

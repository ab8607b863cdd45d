// waiting.h: the way of a freed block of the hardened flavour, which was checked, to its magazine:
// by way of the heap's quarantine, if there is one.
//
// Owner of the heap only; also a heap that is none (heap.h), whose blocks do not wait.
#ifndef HAK_WAITING_H
#define HAK_WAITING_H

#include <seam/sanitizer.h>

#include "heap.h"
#include "random.h"

// Puts a block longer than QUARANTINE_SHORT_MAX off. Returns as hak_waiting_due.
void *hak_waiting_add_long(struct heap *h, void *p, unsigned tag);

// Gives blocks that need not wait any longer to their magazines. Returns one that finds no room
// there, which the caller frees and then calls again; or NULL.
void *hak_waiting_due(struct heap *h);

// Into its magazine, or returns it.
ALWAYS_INLINE void *hak_waiting_push(struct heap *h, void *p, unsigned tag)
{
    if (unlikely(!hak_magazine_push(&h->magazines[tag], p)))
        return p;
    sanitize_give(p, hak_class_bytes(tag));
    return NULL;
}

// Whether a short block can be put off by hak_quarantine_add alone.
static inline bool hak_waiting_is_easy(struct heap *h)
{
    return likely(hak_heap_is_real(h)) &&
           likely(hak_random_ready(&hak_heap_extra(h)->random, QUARANTINE_BITS));
}

// Puts p off, and gives what was put off long enough to its magazine. Returns as hak_waiting_due.
ALWAYS_INLINE void *hak_waiting_add(struct heap *h, void *p, unsigned tag)
{
    if (MITIGATE_QUARANTINE && likely(hak_heap_is_real(h))) {
        if (tag > hak_class_of(QUARANTINE_SHORT_MAX))
            return hak_waiting_add_long(h, p, tag);
        struct heap_extra *extra = hak_heap_extra(h);
        uint32_t at = hak_random_bits(&extra->random, QUARANTINE_BITS);
        p = hak_quarantine_add(&extra->quarantines[0], at, p);
        if (p == NULL)
            return NULL;
        tag = hak_tag_of(p); // of none, if its slab has ended: then there is no room
    }
    return hak_waiting_push(h, p, tag);
}

#endif

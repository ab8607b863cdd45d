// front.h: the hit paths of malloc and free, inlined into each public name.
//
// A hit touches the thread's word, the heap's table or a tag byte, one magazine and the block's
// address: no call, no lock, no atomic read-modify-write, no stack. bench/fastpath counts the
// instructions in the shipped library.
#ifndef HAK_FRONT_H
#define HAK_FRONT_H

#include <seam/sanitizer.h>
#include <seam/tls.h>

#include "alloc.h"
#include "heap.h"

// Pops the newest block, NULL if the magazine is empty.
ALWAYS_INLINE void *front_pop(struct magazine *m)
{
    void **top = own_load(&m->top);
    void *p = top[-1]; // the sentinel if empty
    if (likely(p != NULL))
        own_store(&m->top, top - 1);
    return p;
}

// False if the magazine is full.
ALWAYS_INLINE bool front_push(struct magazine *m, void *p)
{
    void **top = own_load(&m->top);
    if (unlikely(top == own_load(&m->limit)))
        return false;
    *top = p;
    own_order(); // a fork's snapshot has the slot before the top that counts it
    own_store(&m->top, top + 1);
    return true;
}

ALWAYS_INLINE void *front_malloc(size_t n)
{
    struct heap *h = tls_heap();
    if (unlikely(n > TABLE_SIZE_MAX))
        return hak_alloc_slow(n);
    size_t offset = h->class_offset[(n + 15) >> 4];
    void *p = front_pop((struct magazine *)((char *)h + offset));
    if (unlikely(p == NULL))
        return hak_alloc_slow(n);
    sanitize_take(p, n, hak_class_bytes(hak_class_of(n)));
    return p;
}

ALWAYS_INLINE void front_free(void *p)
{
    struct heap *h = tls_heap();
    if (unlikely(!hak_arena_has(p))) {
        hak_free_slow(p);
        return;
    }
    unsigned tag = hak_tag_of(p); // beyond the classes the magazines are always full
    if (unlikely(!front_push(&h->magazines[tag], p))) {
        hak_free_slow(p);
        return;
    }
    sanitize_give(p, hak_class_bytes(tag));
}

#endif

// front.h: the hit paths of malloc, calloc and free, inlined into each public name.
//
// A hit touches the thread's word, the heap's table or a tag byte, one magazine and the block's
// address: no call, no lock, no atomic read-modify-write, no stack. bench/fastpath counts the
// instructions in the shipped library.
#ifndef HAK_FRONT_H
#define HAK_FRONT_H

#include <seam/sanitizer.h>
#include <seam/tls.h>

#include "alloc.h"
#include "harden.h"
#include "heap.h"
#include "sized.h"

// Whether a request is not of the table.
ALWAYS_INLINE bool front_is_beyond(size_t n)
{
    return n > TABLE_SIZE_MAX - CANARY_BYTES || (MITIGATE_EMPTY && n == 0);
}

// A block from where the table says, or NULL; *offset is what it says.
ALWAYS_INLINE void *front_pop(struct heap *h, size_t n, size_t *offset)
{
    *offset = h->class_offset[(n + CANARY_BYTES + 15) >> 4];
    return hak_magazine_pop((struct magazine *)((char *)h + *offset));
}

// Hands it out: the last that the hit path does. A block that is looked at then is in the caches
// sooner if the one before it asked for that.
ALWAYS_INLINE void *front_take(struct heap *h, void *p, size_t n, size_t offset)
{
    if (FREE_IS_ZERO)
        __builtin_prefetch(hak_magazine_next((struct magazine *)((char *)h + offset)));
    if (MITIGATE_BLOCKS && !MITIGATES_BRIEFLY)
        return hak_take_hardened(p, hak_heap_class_at(offset), n);
    if (MITIGATE_BLOCKS)
        hak_harden_take(p, hak_heap_class_at(offset), n, false);
    sanitize_take(p, n, hak_class_bytes(hak_class_of(n + CANARY_BYTES)));
    return p;
}

// `slow` and `missed` are constants: what a request beyond the table and a miss jump to.
ALWAYS_INLINE void *front_malloc_or(size_t n, void *(*slow)(size_t),
                                    void *(*missed)(size_t, struct heap *, size_t))
{
    struct heap *h = tls_heap();
    size_t offset;
    if (unlikely(front_is_beyond(n)))
        return slow(n);
    void *p = front_pop(h, n, &offset);
    return likely(p != NULL) ? front_take(h, p, n, offset) : missed(n, h, offset);
}

ALWAYS_INLINE void *front_malloc(size_t n)
{
    return front_malloc_or(n, hak_alloc_slow, hak_alloc_missed);
}

ALWAYS_INLINE void *front_calloc(size_t n)
{
    struct heap *h = tls_heap();
    size_t offset;
    if (unlikely(front_is_beyond(n)))
        return hak_alloc_zeroed(n); // which may find memory that is zero, as the other
    void *p = front_pop(h, n, &offset);
    if (unlikely(p == NULL))
        return hak_alloc_zeroed_missed(n, h, offset);
    p = front_take(h, p, n, offset);
    if (!MITIGATE_ZERO)
        return __builtin_memset(p, 0, n);
    sanitize_defined(p, n);
    return p;
}

ALWAYS_INLINE void front_free(void *p)
{
    struct heap *h = tls_heap();
    if (unlikely(hak_arena_lacks(p))) {
        hak_free_slow(p, __builtin_return_address(0));
        return;
    }
    unsigned tag = hak_tag_of(p); // beyond the classes the magazines are always full
    if (MITIGATE_BLOCKS && tag - CLASS_FIRST < CLASS_COUNT) {
        if (!MITIGATES_BRIEFLY) {
            hak_free_hardened(p, tag);
            return;
        }
        (void)hak_harden_give(p, tag);
    }
    struct magazine *m = &h->magazines[tag];
    COMPUTED_ONCE(m);
    if (unlikely(!hak_magazine_push(m, p))) {
        hak_free_slow(p, __builtin_return_address(0));
        return;
    }
    sanitize_give(p, hak_class_bytes(tag));
}

// Frees a block that was asked for with n bytes at a multiple of `align`.
ALWAYS_INLINE void front_free_sized(void *p, size_t align, size_t n)
{
    if (MITIGATE_POINTERS) { // others may ignore it
        unsigned tag = hak_arena_has(p) ? hak_tag_of(p) : TAG_NONE;
        if (MITIGATE_CANARY && tag - CLASS_FIRST < CLASS_COUNT) {
            hak_free_sized_hardened(p, tag, n);
            return;
        }
        hak_sized_check(p, align, n);
    }
    if (!WITHOUT_TAGS || align > MALLOC_ALIGN || n > TABLE_SIZE_MAX || hak_arena_lacks(p)) {
        front_free(p);
        return;
    }
    struct heap *h = tls_heap();
    struct magazine *m = (struct magazine *)((char *)h + h->class_offset[(n + 15) >> 4]);
    COMPUTED_ONCE(m);
    if (unlikely(!hak_magazine_push(m, p)))
        hak_free_slow(p, __builtin_return_address(0));
}

#endif

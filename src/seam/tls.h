// tls.h (seam): the one thread-local word of the allocator, the calling thread's heap.
//
// Initial-exec: one load from the thread's static block, no call. A thread that has no heap points
// at hak_no_front, all of which is empty and full, so the hit path needs no test for it.
#ifndef HAK_TLS_H
#define HAK_TLS_H

struct heap;

extern __thread struct heap *hak_tls_heap
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

// The calling thread's heap; never NULL.
static inline struct heap *tls_heap(void)
{
    return hak_tls_heap;
}

static inline void tls_set_heap(struct heap *h)
{
    hak_tls_heap = h;
}

// Identity of the calling thread: unique among the living, the same in the child of a fork.
static inline void *tls_self(void)
{
    return &hak_tls_heap;
}

#endif

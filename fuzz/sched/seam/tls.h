// tls.h (seam of the sched build): the heap of each logical thread.
#ifndef SCHED_SEAM_TLS_H
#define SCHED_SEAM_TLS_H

#include "../scheduler.h"

struct heap;

// By index of the thread; 0 is also the harness's own outside of an execution.
extern struct heap *sched_heaps[SCHED_THREADS_MAX];

static inline struct heap *tls_heap(void)
{
    return sched_heaps[sched_current()];
}

static inline void tls_set_heap(struct heap *h)
{
    sched_heaps[sched_current()] = h;
}

static inline void *tls_self(void)
{
    return &sched_heaps[sched_current()];
}

#endif

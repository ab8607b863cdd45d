// thread.h (seam): what the allocator must know of threads: their end, fork, and whether there are
// others.
#ifndef HAK_THREAD_H
#define HAK_THREAD_H

#include "../base.h"

#if defined(__GLIBC__) && __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#else
#define __libc_single_threaded 0
#endif

// Calls `on_exit` once in each thread for which hak_thread_watch_exit was called, when it ends.
// Called once, before any other thread exists or under the attach gate. Registers the three fork
// handlers with the C library: `prepare` in the parent before, the others after the fork.
void hak_thread_start(void (*on_exit)(void), void (*prepare)(void), void (*parent)(void),
                      void (*child)(void));

// Arms the exit hook for the calling thread. It may call malloc, so the thread has its heap before.
void hak_thread_watch_exit(void);

// The kernel's id of the calling thread: unique among the living.
uint32_t hak_thread_id(void);

// Whether the caller is the only thread of the process: what it does until it makes another is
// ordered before all that one does. False where the C library does not say (glibc before 2.32).
#define thread_is_alone() hak_thread_is_alone()
static inline bool hak_thread_is_alone(void)
{
    return __libc_single_threaded != 0;
}

// Gives up the processor: in loops that wait for another thread.
#define thread_yield() hak_thread_yield()
void hak_thread_yield(void);

#endif

// thread.h (seam): what the allocator must know of threads: their end, and fork.
#ifndef HAK_THREAD_H
#define HAK_THREAD_H

#include "../base.h"

// Calls `on_exit` once in each thread for which hak_thread_watch_exit was called, when it ends.
// Called once, before any other thread exists or under the attach gate. Registers the three fork
// handlers with the C library: `prepare` in the parent before, the others after the fork.
void hak_thread_start(void (*on_exit)(void), void (*prepare)(void), void (*parent)(void),
                      void (*child)(void));

// Arms the exit hook for the calling thread. It may call malloc, so the thread has its heap before.
void hak_thread_watch_exit(void);

// The kernel's id of the calling thread: unique among the living.
uint32_t hak_thread_id(void);

// Gives up the processor: in loops that wait for another thread.
#define thread_yield() hak_thread_yield()
void hak_thread_yield(void);

#endif

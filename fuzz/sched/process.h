// process.h: the life of logical threads as the allocator sees it, and the state that every
// execution begins with.
#ifndef SCHED_PROCESS_H
#define SCHED_PROCESS_H

#include "scheduler.h"

// Puts the allocator's variables, its thread-local words and hooks back to what they were before
// its first use. Its sections were renamed for that at link time (rules.mk).
void process_reset(void);

// The running logical thread ends: its exit hook runs as often as it is armed anew, at most as
// often as the C library would. What it does from there on are late destructors, until ...
void process_end_thread(void);
// ... another thread takes its place.
void process_begin_thread(void);
// Both.
void process_exit_thread(void);

// The running thread forks: `parent` or child goes on, as told, with the hooks called around it.
// In the child the other threads are gone for ever.
void process_fork(bool child);
// Whether the heap belongs to a thread that has not begun to end.
struct heap;
bool process_has_heap(const struct heap *h);
// Threads that forks have taken away since the reset.
uint32_t process_vanished(void);

// Bytes of the allocator's arena, 0 before it is set up: no scheduling point.
size_t process_arena_bytes(void);

#endif

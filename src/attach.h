// attach.h: how a thread comes to a heap and leaves it, and the gate that a fork closes.
//
// Every slow path runs between hak_enter and hak_leave. A fork waits until no thread is between
// them, so the child finds every structure consistent and every lock free.
#ifndef HAK_ATTACH_H
#define HAK_ATTACH_H

#include "heap.h"

// Enters the gate with the calling thread's heap, which is borrowed if it has none. NULL (and
// outside of the gate) if the arena or a heap cannot be had: out of memory.
struct heap *hak_enter(void);

void hak_leave(struct heap *h);

// As these, without a heap: for what needs none, and when none can be had.
void hak_enter_as_guest(void);
void hak_leave_as_guest(void);

// Whether the allocator has been set up (it is by the first hak_enter).
bool hak_started(void);

// Gives the calling thread's heap back now; it gets another when it next needs one.
void hak_detach(void);

// Hooks of thread.h.
void hak_on_thread_exit(void);
void hak_before_fork(void);
void hak_after_fork_parent(void);
void hak_after_fork_child(void);

struct lock;
const struct lock *hak_attach_lock(void); // for statistics

#endif

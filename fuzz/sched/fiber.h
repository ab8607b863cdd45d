// fiber.h: stackful coroutines, the logical threads of a scheduled execution.
//
// All fibers of a process run on one operating-system thread; control moves only where a fiber
// calls fiber_switch. Stacks are mapped once and reused, so that an execution makes no system call.
// AddressSanitizer, ThreadSanitizer and Valgrind are told of each stack and each switch.
#ifndef SCHED_FIBER_H
#define SCHED_FIBER_H

#include <stdbool.h>
#include <stddef.h>

#define FIBER_STACK_BYTES ((size_t)256 << 10)
#define FIBER_GUARD_BYTES ((size_t)64 << 10) // below each stack, never accessible

struct fiber {
    void *stack_pointer; // saved while the fiber does not run
    void *stack;         // lowest address; NULL for the adopted thread
    size_t stack_bytes;
    void (*entry)(void *);
    void *arg;
    void *asan_fake_stack;
    void *tsan_fiber;
    bool abandoned; // left in the middle of its body: its frames are still on the stack
};

// Makes `f` stand for the calling thread, so that fibers can switch back to it.
void fiber_adopt(struct fiber *f);

// Prepares `f` to run entry(arg) at the first switch to it. The first call maps the stack; later
// ones reuse it. `entry` never returns: it ends by a switch. Exits the process without memory.
void fiber_prepare(struct fiber *f, void (*entry)(void *), void *arg);

// Leaves `from`, which is running, and continues `to`. `last`: nobody will switch back to `from`
// before it is prepared again.
void fiber_switch(struct fiber *from, struct fiber *to, bool last);

// Whether `p` lies just below the stack.
bool fiber_is_guard(const struct fiber *f, const void *p);

#endif

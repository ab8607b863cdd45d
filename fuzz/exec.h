// exec.h: carries out operations on an allocator and holds every result against the shadow map.
//
// One `struct exec` per run of a program; several threads may call exec_op at a time. A slot is
// claimed for the length of an operation: an operation on a slot that another thread is using, on
// an empty one (free), or on a full one (malloc) is skipped and counted. The harness decides what
// threads are; operations about threads (exit, start, barrier, freeze) do nothing here but `exit`,
// which flushes the calling thread's cache.
#ifndef FUZZ_EXEC_H
#define FUZZ_EXEC_H

#include "allocator.h"
#include "ops.h"
#include "shadow.h"

#include <pthread.h>
#include <stdatomic.h>

enum exec_slot_state { SLOT_EMPTY, SLOT_BUSY, SLOT_FULL };

struct exec_slot {
    _Atomic unsigned state;
    bool aligned;              // made by a function that takes an alignment
    size_t asked;              // what the user passed: free_sized passes it again
    struct shadow_block block; // valid while FULL
};

// What became of the operations so far.
struct exec_counts {
    _Atomic uint64_t done;
    _Atomic uint64_t skipped; // the slot was not as the operation needs it, or a bound was reached
    _Atomic uint64_t refused; // the allocator returned NULL, and had to or was allowed to
    _Atomic uint64_t audits;
    _Atomic uint64_t detected; // mistakes that the allocator reported
    _Atomic uint64_t silent;   // mistakes that it need not report, and did not
};

struct exec {
    const struct allocator *allocator;
    // Called when a check fails; must not return. `op` is NULL at the end of a program.
    void (*fail)(struct exec *exec, const struct op *op, const char *reason);
    void *fail_arg;
    uint64_t live_bytes_max; // allocations beyond are skipped
    uint64_t arena_bytes;    // NULL for requests far below it is a failure
    uint64_t slack_bytes;    // that other threads' calls may hold, beside blocks
    bool alone;              // one thread: audits, forks and mistakes may happen at any operation
    _Atomic int children;    // how often operations may still fork (fork, misuse)
    bool threaded;           // calls of the map take the lock
    pthread_mutex_t lock;
    struct shadow shadow;
    struct exec_slot *slots;
    uint32_t slot_count;
    _Atomic uint64_t pattern;
    _Atomic uint64_t in_flight_bytes; // of requests that were made and not answered yet
    struct exec_counts counts;
};

// Sets everything but what the caller may choose after it: fail, live_bytes_max, alone, children,
// threaded, shadow.map, shadow.use_all. Slots come from libc. False if out of memory.
bool exec_init(struct exec *exec, const struct allocator *allocator, uint32_t slots);
void exec_free(struct exec *exec);
// Forgets blocks and counts: the allocator is a new one. `seed`: of the contents of blocks.
void exec_reset(struct exec *exec, uint64_t seed);

void exec_op(struct exec *exec, const struct op *op);
// The whole-heap audit, and that the allocator counts as many live blocks as the map. No other
// thread may be inside of the allocator.
void exec_audit(struct exec *exec, const struct op *op);
// Reads all statistics; with `alone` they must agree with the map.
void exec_stats(struct exec *exec, const struct op *op);
// Frees what is live, flushes, trims and audits: nothing may be live then. For the same caller.
void exec_finish(struct exec *exec);

// exec_child.c: what happens in a child process, so that the caller lives on.
void exec_fork(struct exec *exec, const struct op *op);
void exec_misuse(struct exec *exec, const struct op *op);

// Internal to exec*.c: reports through exec->fail.
_Noreturn void exec_wrong(struct exec *exec, const struct op *op, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// Whether a request of so many bytes may fail: it, or what is live, is large against the arena.
bool exec_may_fail(const struct exec *exec, size_t bytes);
struct exec_slot *exec_claim(struct exec *exec, const struct op *op, unsigned state);
void exec_settle(struct exec_slot *slot, unsigned state);
void exec_release(struct exec *exec, const struct op *op);
static inline void exec_count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

#endif

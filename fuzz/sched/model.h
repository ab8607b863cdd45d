// model.h: an operational model of C11 memory for one execution.
//
// Each atomic cell that is touched gets a location in a side table, keyed by its address, with its
// last stores. A load may return any of them that coherence and happens-before allow; the caller
// (scheduler.c) chooses which. The cell itself always holds the newest value, so its size, layout
// and what a debugger shows do not change.
//
// What the model covers, and what it leaves out, is said in docs/SCHEDULER.md.
#ifndef SCHED_MODEL_H
#define SCHED_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCHED_THREADS_MAX 8u
#define MEMORY_HISTORY 8u   // stores kept for a location
#define MEMORY_STALE_MAX 4u // stale loads in a row by one thread, then the newest value

// Bits of a memory order. Relaxed has none; sequential consistency has all that apply. Plain: not
// atomic, as relaxed but for a race detector.
enum memory_order_bits { ORDER_ACQUIRE = 1, ORDER_RELEASE = 2, ORDER_SC = 4, ORDER_PLAIN = 16 };

// Counts operations: a thread that makes more than fit in here fails the execution.
struct vclock {
    uint16_t at[SCHED_THREADS_MAX];
};

// A cache line, because these are what an execution spends its time on.
struct store {
    uint64_t value;
    uint32_t sc_number; // position among the SC operations; 0: not SC
    uint16_t time;      // the storing thread's own clock; 0: before the execution
    uint16_t site;
    uint8_t thread;
    char *token;                      // as `release`, for a race detector (races.h), or NULL
    struct vclock release;            // what a load with acquire order learns
    uint16_t seen[SCHED_THREADS_MAX]; // each thread's clock at its first load of this store
};
_Static_assert(sizeof(struct store) == 64, "a store fills a cache line");

// A thread's last load of a location.
struct look {
    uint16_t turn;   // of the thread, counted from 1 by its yields; 0: never
    uint16_t stores; // that there were
};

struct location {
    uintptr_t address;
    uint32_t bytes;  // 1, 4 or 8
    uint32_t index;  // order of first touch: a name that does not depend on addresses
    uint32_t stores; // made so far, the initial value included; the last MEMORY_HISTORY are kept
    struct look looks[SCHED_THREADS_MAX];
    _Alignas(64) struct store history[MEMORY_HISTORY];
};

// Forgets all locations: the next execution, of so many threads, begins with the values that memory
// holds.
void memory_reset(uint32_t threads);

// The location of `cell`, made at its first touch. Fails the execution if the cell was written
// behind the model's back, or is touched with another size than before.
struct location *memory_at(const void *cell, uint32_t bytes);

// Begins the next operation of `thread`.
void memory_tick(uint32_t thread);

// How many of the newest stores `thread` may read here: at least 1.
uint32_t memory_readable(uint32_t thread, const struct location *l, uint32_t order);

// Reads the store that is `back` stores older than the newest; returns it.
const struct store *memory_read(uint32_t thread, struct location *l, uint32_t back, uint32_t order);

void memory_write(uint32_t thread, struct location *l, uint64_t value, uint32_t order,
                  uint32_t site);

// Read-modify-write: reads the newest store and replaces it. The old value is read before by
// memory_newest.
void memory_update(uint32_t thread, struct location *l, uint64_t value, uint32_t order,
                   uint32_t site);

const struct store *memory_newest(const struct location *l);

void memory_fence(uint32_t thread, uint32_t order);

// `thread` gives up the processor: where it looks again it will read no store older than the newest
// one of its look before, so that a loop that waits ends. (Not: than the newest one of now, or a
// yield would not commute with stores that have nothing to do with it.)
void memory_yield(uint32_t thread);

// Synchronisation that the program under test does outside of the seams, as when it hands a pointer
// from one thread to another: what `thread` knows now, and learning it.
struct vclock memory_publish(uint32_t thread);
void memory_learn(uint32_t thread, const struct vclock *published);

// The bytes were given back to the system: what is stored there later begins a new history.
void memory_forget(const void *p, size_t bytes);

#endif

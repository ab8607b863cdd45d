// core.h: what scheduler.c (threads and decisions) and operations.c (their effects) share.
#ifndef SCHED_CORE_H
#define SCHED_CORE_H

#include "fiber.h"
#include "scheduler.h"

#define RANKS_HELD_MAX 8u
#define SPURIOUS_FAILURES_MAX 1u // of weak compare-and-swaps in a row by one thread

struct sched_thread {
    struct fiber fiber;
    uint32_t ranks_held[RANKS_HELD_MAX];
    uint32_t locks_held;
    bool sets_hooks; // of the process, for which the others' first calls wait as for a lock
    uint32_t spurious_run;
    bool excused; // its next yield is no repetition: what failed without reason cannot do so again
    bool (*ready)(void *);
    void *ready_arg;
};

struct sched_core {
    bool running;
    uint32_t quiet; // > 0: the harness looks; no points, newest values
    uint32_t current;
    uint32_t step;
    uint32_t unfinished, frozen;
    uint32_t waiting;        // those whose pending event is a lock or a condition: bit per thread
    uint32_t spun, yielding; // yielded once, twice since another thread made a step; bit per thread
    bool decided_away;       // the last decision left a thread that could go on
    struct event pending[SCHED_THREADS_MAX];
    uint32_t local_step[SCHED_THREADS_MAX];
    struct sched_view view;                  // what the strategy is shown
    uint32_t freeze_step[SCHED_THREADS_MAX]; // SCHED_NOBODY: never
    struct sched_thread threads[SCHED_THREADS_MAX];
    struct fiber conductor;
    char races_begin, races_end; // tokens: all threads begin after set-up, and end before the check
    const struct sched_program *program;
    struct strategy *strategy;
    struct sched_report *report;
};
extern struct sched_core core;

// The scheduling point: returns when the calling thread was picked to perform the event.
void core_point(const struct sched_site *at, uintptr_t address);
// A number below n, 0 by default and while the harness looks.
uint32_t core_choose(enum choice_kind kind, uint32_t n);
// Adds a step to the trace. `l` may be NULL.
void core_record(const struct sched_site *at, const struct location *l, uintptr_t address,
                 uint64_t value, uint64_t old, uint32_t back, bool failed);

#endif

// strategy.h: who runs next and what a load sees, decided behind one interface.
//
// A scheduled execution asks its strategy wherever more than one thing may happen. Every strategy
// is a function of its parameters alone: the same parameters, the same execution.
#ifndef SCHED_STRATEGY_H
#define SCHED_STRATEGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What is decided at a step of a thread. The numbers are those of decisions in files (ops.h).
enum choice_kind {
    CHOICE_RUN = 0,  // the thread that goes on: its index
    CHOICE_READ = 1, // how many stores older than the newest a load sees
    CHOICE_CAS = 2,  // 1: a weak compare-and-swap fails without a reason
    CHOICE_WAKE = 3, // reserved: a lock is granted by CHOICE_RUN among those who wait for it
    CHOICE_OS = 4,   // 1: the call to the system fails
};

enum event_kind {
    EVENT_NONE, // the thread has not begun
    EVENT_LOAD,
    EVENT_STORE,
    EVENT_UPDATE,
    EVENT_CAS_STRONG,
    EVENT_CAS_WEAK,
    EVENT_FENCE,
    EVENT_LOCK,
    EVENT_UNLOCK,
    EVENT_YIELD,
    EVENT_SYSTEM,
    EVENT_BEGIN,
    EVENT_END,
    EVENT_WAIT, // for a condition of the harness: a barrier, the end of a thread
    EVENT_NOTE, // of the harness, in the trace only
};

// A place in a source file that performs one kind of event: constant, one object per place.
struct sched_site {
    const char *name; // of the site, as in sites.h
    const char *file;
    uint32_t line;
    uint16_t id; // index into the table of weakened orders; 0: none
    uint8_t kind;
    uint8_t order;         // memory_order_bits, on success
    uint8_t failure_order; // of a compare-and-swap that fails
    uint8_t bytes;
};

// What a thread will do when it runs next.
struct event {
    const struct sched_site *site;
    uintptr_t address;
};

// What a strategy may look at.
struct sched_view {
    uint32_t threads;
    uint32_t current;   // the thread that ran last
    uint32_t enabled;   // bit per thread that can go on
    uint32_t preferred; // the default: `current` if it can go on, else the next one after it
    bool fair;          // the execution was too long: threads now go on in turn, unasked
    const struct event *pending; // per thread
    const uint32_t *local_step;  // per thread: its count of scheduling points
};

struct strategy {
    const char *name;
    bool asks_always; // `run` is called also where only one thread can go on
    // Begins the next execution of the search.
    void (*begin)(struct strategy *s, uint32_t threads);
    // A thread of view->enabled, or SCHED_NOBODY to end the execution here as redundant.
    uint32_t (*run)(struct strategy *s, const struct sched_view *view);
    // A number below n, 0 being the usual case; n >= 2.
    uint32_t (*choose)(struct strategy *s, enum choice_kind kind, uint32_t thread,
                       uint32_t local_step, uint32_t n);
    // `thread` performs its pending event now; may be NULL.
    void (*performed)(struct strategy *s, const struct sched_view *view, uint32_t thread);
    // Ends an execution; false: the search is complete. May be NULL: the search has no end.
    bool (*end)(struct strategy *s);
};

// One recorded or prescribed decision: `thread` at its `step`-th scheduling point.
struct choice {
    uint16_t thread;
    uint8_t kind;
    uint8_t value;
    uint32_t step;
};

// True if two events on the same address do not commute.
bool event_conflicts(const struct event *a, const struct event *b);

// xorshift64*, S. Vigna, "An experimental exploration of Marsaglia's xorshift generators", 2016.
struct random {
    uint64_t state;
};
void random_seed(struct random *r, uint64_t seed);
uint64_t random_next(struct random *r);
uint32_t random_below(struct random *r, uint32_t n);

// ---- the strategies; each object is the caller's and needs no other memory ----

// No preemption, newest values.
struct strategy strategy_default(void);

// Decisions of a file, keyed by thread and step; what is not listed takes the default.
#define LISTED_CHOICES_MAX 4096u
struct strategy_listed {
    struct strategy base;
    const struct choice *list; // the caller's; longer lists are cut at LISTED_CHOICES_MAX
    uint32_t count;
    uint16_t next[LISTED_CHOICES_MAX]; // chains of a hash table
    uint16_t head[256];
};
void strategy_listed_init(struct strategy_listed *s, const struct choice *list, size_t count);

// One byte per decision: below 176 the default, else a choice; the default behind the end.
struct strategy_bytes {
    struct strategy base;
    const uint8_t *bytes;
    size_t count;
    size_t used;
};
void strategy_bytes_init(struct strategy_bytes *s, const uint8_t *bytes, size_t count);

// Uniformly random threads; stale values with probability 1/2 per store.
struct strategy_random {
    struct strategy base;
    struct random random;
    uint64_t seed;
    uint64_t execution;
};
void strategy_random_init(struct strategy_random *s, uint64_t seed);

// PCT: Burckhardt, Kothari, Musuvathi, Nagarakatte, "A Randomized Scheduler with Probabilistic
// Guarantees of Finding Bugs", ASPLOS 2010. depth 0: drawn from 2 to 5 for each execution.
#define PCT_DEPTH_MAX 8u
struct strategy_pct {
    struct strategy base;
    struct random random;
    uint64_t seed;
    uint64_t execution;
    uint32_t depth;
    uint32_t steps; // of the longest execution so far: change points lie below it
    uint32_t step;  // decisions between several threads in this execution
    uint32_t change[PCT_DEPTH_MAX];
    uint32_t changes;
    int32_t priority[32];
    int32_t lowest;
};
void strategy_pct_init(struct strategy_pct *s, uint64_t seed, uint32_t depth, uint32_t steps);

// POS: Yuan, Yang, Gu, "Partial Order Aware Concurrency Sampling", CAV 2018.
struct strategy_pos {
    struct strategy base;
    struct random random;
    uint64_t seed;
    uint64_t execution;
    uint64_t priority[32];
};
void strategy_pos_init(struct strategy_pos *s, uint64_t seed);

#endif

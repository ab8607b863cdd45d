// scheduler.h: deterministic executions of several logical threads on one real one.
//
// A program is a body that each of its threads runs. Inside of it each atomic operation, lock, spin
// hint and call to the system (through the seams in fuzz/sched/seam) is a scheduling point: the
// strategy picks the thread that goes on, and what a load reads. An execution is a function of the
// program and of the strategy's choices. One scheduler per process, not reentrant.
//
// Outside of sched_run the same operations act on memory directly and in order: that is how a
// harness sets up, audits and tears down.
#ifndef SCHED_SCHEDULER_H
#define SCHED_SCHEDULER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "model.h"
#include "strategy.h"

#define SCHED_SITES_MAX 1024u
#define SCHED_TRACE_MAX 65536u // records kept; later steps are only counted and hashed
#define SCHED_CHOICES_MAX 16384u
#define SCHED_NOBODY UINT32_MAX

enum sched_outcome {
    SCHED_OK,
    SCHED_FAILED,   // sched_fail: the program, the allocator or the harness says so
    SCHED_DEADLOCK, // nobody can go on
    SCHED_LIVELOCK, // no end within steps_max more steps of a fair schedule
    SCHED_PRUNED,   // the strategy has run an equivalent execution before
    SCHED_STARVED,  // the others could not finish while one thread was frozen outside of a lock
};

struct sched_program {
    const char *name;
    uint32_t threads; // 1 to SCHED_THREADS_MAX
    void (*body)(void *arg, uint32_t thread);
    void *arg;
    uint32_t steps_max;     // after so many the schedule becomes fair, after twice as many it ends
    uint32_t frozen_thread; // stops for ever from its frozen_step on; SCHED_NOBODY
    uint32_t frozen_step;
    // Writes what a note (sched_note) stands for into the time line. May be NULL.
    void (*describe)(void *arg, uint64_t note, char *out, size_t room);
    // Looks at the whole state at every scheduling point; may call sched_fail. May be NULL.
    void (*observe)(void *arg, uint32_t step);
};

struct sched_record {
    uint32_t step;
    uint8_t thread;
    uint8_t back;   // stores older than the newest one that was read
    bool failed;    // compare-and-swap or system call
    bool preempted; // the thread that ran before could have gone on
    uint32_t local_step;
    uint32_t location; // index of first touch, or UINT32_MAX
    const struct sched_site *site;
    uintptr_t address;
    uint64_t value; // read, or written
    uint64_t old;   // read by an update
};

struct sched_report {
    enum sched_outcome outcome;
    char kind[32]; // of a failure: one word or two
    char message[512];
    uint32_t steps;
    uint32_t preemptions;
    uint32_t stale_reads;
    uint64_t hash; // of all steps: equal hashes, equal executions
    const struct sched_record *trace;
    uint32_t trace_count;
    const struct choice *choices; // all that differ from the default, in order
    uint32_t choice_count;
};

// Runs the program once. The report's arrays are valid until the next run.
enum sched_outcome sched_run(const struct sched_program *program, struct strategy *strategy,
                             struct sched_report *report);

// One row per step, one column per thread, then the outcome.
void sched_print_timeline(const struct sched_program *program, const struct sched_report *report,
                          FILE *out);
// The same for whoever ends the process: of the execution that is running, up to where it stands,
// or else of the last one. Only the first call prints.
void sched_tell(FILE *out);
const char *sched_outcome_name(enum sched_outcome outcome);

// Ends the execution as failed; outside of sched_run, prints the message and aborts. `kind` is a
// short constant: "unmarked write". Never returns, also not through its callers.
_Noreturn void sched_fail(const char *kind, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// ---- what the seams call ----

bool sched_is_running(void);
bool sched_is_quiet(void);    // between sched_quiet_begin and _end
uint32_t sched_current(void); // index of the running thread; 0 outside of sched_run
uint32_t sched_step(void);    // steps of this execution so far

uint64_t sched_load(const struct sched_site *at, const void *cell);
void sched_store(const struct sched_site *at, void *cell, uint64_t value);
enum sched_update { UPDATE_EXCHANGE, UPDATE_OR, UPDATE_AND, UPDATE_ADD, UPDATE_SUB };
uint64_t sched_update(const struct sched_site *at, void *cell, enum sched_update how,
                      uint64_t operand);
// Returns success; *expected becomes the value that was read.
bool sched_cas(const struct sched_site *at, void *cell, uint64_t *expected, uint64_t desired);
void sched_init_cell(void *cell, uint32_t bytes, uint64_t value);
void sched_fence(const struct sched_site *at);
void sched_lock(const struct sched_site *at, void *word, uint32_t rank);
void sched_unlock(const struct sched_site *at, void *word, uint32_t rank);
void sched_yield_point(const struct sched_site *at);
// A call to the system is about to happen; true: it shall fail.
bool sched_system_call(const struct sched_site *at, const void *p, uint64_t value, bool can_fail);
// Waits until ready(arg): a barrier, the end of another thread.
void sched_wait(const struct sched_site *at, bool (*ready)(void *), void *arg);
// Between these the harness looks at the whole state: no scheduling points, newest values, and
// loads leave no mark in the model. They nest.
void sched_quiet_begin(void);
void sched_quiet_end(void);
// Marks a step of the harness in the trace, for `describe`; not a scheduling point.
void sched_note(uint64_t note);
// The running thread stops for ever at the `steps`-th scheduling point from here, or at the first
// one after it where it holds no lock and does not set the process's hooks.
void sched_freeze_after(uint32_t steps);
// Bit per thread that has not ended; those that are frozen.
uint32_t sched_unfinished(void);
uint32_t sched_frozen(void);

// Orders of a site are masked with this before use: how the mutants weaken one at run time.
extern uint8_t sched_order_mask[SCHED_SITES_MAX];
// SITE_USED for each site that was executed in this process, with the bits of its order.
#define SITE_USED 8u
extern uint8_t sched_site_used[SCHED_SITES_MAX];

// Called for every load: which store it read. For coverage; may be NULL.
extern void (*sched_reads_from)(uint32_t load_site, uint32_t store_site);

#endif

// explore.h: exhaustive search over schedules and values, and the loop that drives any strategy.
#ifndef SCHED_EXPLORE_H
#define SCHED_EXPLORE_H

#include "scheduler.h"

#define SEARCH_UNBOUNDED UINT32_MAX
#define SEARCH_DEPTH_MAX 16384u // decisions in one execution

struct search_node {
    uint8_t is_value;
    uint8_t chosen;                           // thread, or value
    uint8_t count;                            // of values
    uint8_t current;                          // the thread that ran before
    uint8_t slept;                            // `sleep` is known
    uint32_t enabled, backtrack, done, sleep; // bit per thread
    uint32_t preemptions;                     // before this node
};

struct search_event {
    struct event event;
    uint32_t thread;
    uint32_t node;       // at which the thread was chosen
    uint32_t previous;   // event on the same address before it, or UINT32_MAX
    struct vclock clock; // events of each thread that are ordered before it, itself included
};

// Depth-first search. With reduction, executions that differ only in the order of events that do
// not conflict are run once. Without a bound: source sets and sleep sets, Abdulla, Aronis, Jonsson,
// Sagonas, "Optimal Dynamic Partial Order Reduction", POPL 2014; `make reduction` compares it with
// the search that leaves out nothing. With a bound: Flanagan and Godefroid, "Dynamic Partial-Order
// Reduction for Model Checking Software", POPL 2005, and the further backtrack points of Coons,
// Musuvathi, McKinley, "Bounded Partial-Order Reduction", OOPSLA 2013; that is for finding, not for
// proving: it may leave out executions in which threads wait for locks.
struct strategy_search {
    struct strategy base;
    uint32_t preemptions_max; // or SEARCH_UNBOUNDED
    bool reduce;
    uint32_t depth, used; // of the path: in this execution, and in the stack
    uint32_t preemptions;
    uint32_t sleeping; // sleep set of the state that is reached
    uint32_t event_count;
    bool whole_scan; // an event was seen that conflicts across addresses
    struct vclock clocks[SCHED_THREADS_MAX];
    uint32_t last_on[1024]; // hash of an address to its last event
    struct search_node nodes[SEARCH_DEPTH_MAX];
    struct search_event events[SEARCH_DEPTH_MAX];
};

// `s` is large: static or from malloc.
void strategy_search_init(struct strategy_search *s, uint32_t preemptions_max, bool reduce);

struct experiment {
    const struct sched_program *program;
    void (*setup)(void *arg);        // before each execution; may be NULL
    const char *(*check)(void *arg); // after each complete one: NULL, or what is wrong
    uint64_t executions_max;
    bool keep_going; // count failures instead of stopping at the first
};

struct experiment_result {
    uint64_t executions; // complete ones
    uint64_t pruned;     // cut short: another order of the same events was run before
    uint64_t failures;
    uint64_t long_ones; // reached steps_max and ended only under the fair schedule
    bool complete;      // the strategy has no more
    uint32_t steps_max;
    struct sched_report report; // of the first failure, else of the last execution
};

void run_experiment(const struct experiment *e, struct strategy *strategy,
                    struct experiment_result *result);

#endif

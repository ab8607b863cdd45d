// scenarios.h: what protocol.c runs.
#ifndef MODEL_SCENARIOS_H
#define MODEL_SCENARIOS_H

#include "scheduler.h"

struct scenario {
    const char *name;
    const char *what; // thread by thread
    uint32_t threads;
    uint32_t bound; // preemptions, or SEARCH_UNBOUNDED
    void (*setup)(void *);
    void (*body)(void *, uint32_t thread);
    const char *(*check)(void *);
    bool freezes; // thread 0 stops for ever, at each of its steps in turn
};

// Each list ends with a scenario without a name.
extern const struct scenario protocol_scenarios[]; // single modules
extern const struct scenario whole_scenarios[];    // the public functions
extern const struct scenario ending_scenarios[];   // ends of threads, forks
extern const struct scenario lock_scenarios[];     // the mutex that other sched builds replace
extern const struct scenario watched_scenarios[];  // the profile, reports
extern struct lock scenario_lock;                  // the one of lock_scenarios

#endif

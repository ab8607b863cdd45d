// scenarios.h: the scenarios of protocol.c.
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
};

extern const struct scenario scenarios[];
extern const unsigned scenario_count;

#endif

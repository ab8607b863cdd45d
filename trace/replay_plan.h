// replay_plan.h: all that a replay needs to know of a trace, in one mapping.
//
// A plan is made in one process and carried out in a new one, whose allocator has done nothing yet:
// reading a trace would leave it warm and full of free memory. The plan travels as the descriptor
// of a file in memory.
#ifndef TRACE_REPLAY_PLAN_H
#define TRACE_REPLAY_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "replay.h"

struct replay_step {
    struct op op;
    uint32_t place; // where its block is kept, or NO_BLOCK
    uint32_t turn;  // how many steps come before it on that place
    uint32_t next;  // the next step of the same thread, or NEVER
};

struct replay_plan {
    uint64_t magic;
    uint64_t bytes; // of the whole mapping
    struct replay_options options;
    uint32_t steps_count;
    uint32_t threads_count;
    uint32_t places_count;
    uint32_t reserved;
    // Behind it: steps_count steps, and the first step of each thread, or NEVER.
    struct replay_step steps[];
};

static inline const uint32_t *replay_plan_first(const struct replay_plan *plan)
{
    return (const uint32_t *)&plan->steps[plan->steps_count];
}

// Returns a descriptor of the plan, open across exec; -1: `error` has the reason.
int replay_plan_make(const struct trace *trace, const struct replay_options *options,
                     struct ops_error *error);
// Maps the plan and closes the descriptor; NULL: `error` has the reason. Does not allocate.
const struct replay_plan *replay_plan_map(int fd, struct ops_error *error);
void replay_plan_unmap(const struct replay_plan *plan);

#endif

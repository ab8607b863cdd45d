// replay_process.h: a replay in a process of its own, whose allocator has done nothing yet.
//
// The process that read the trace makes the plan and becomes a new one by exec, with another
// allocator preloaded if wanted; that one carries the plan out and prints the figures.
#ifndef TRACE_REPLAY_PROCESS_H
#define TRACE_REPLAY_PROCESS_H

#include <stdbool.h>

#include "replay.h"

struct replay_request {
    char *program; // argv[0], for the new process
    char *path;    // of the trace, for reports
    bool json;
    const char *preload;  // a library whose malloc is used, or NULL
    const char *timeline; // where samples go as CSV, or NULL
    struct replay_options options;
};

// The name by which main() knows that it is the new process.
extern const char replay_process_name[];

// Returns only on failure, with the reason in `error`.
void replay_process_become(const struct replay_request *request, const struct trace *trace,
                           struct ops_error *error);

// What the new process does; its exit status: 0, or 1 with the reason on standard error.
int replay_process_run(int argc, char **argv);

#endif

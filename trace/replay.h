// replay.h: carries a trace out with the malloc of the process (preload any library to choose it),
// and checks that no block's contents, address or alignment is wrong.
#ifndef TRACE_REPLAY_H
#define TRACE_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trace_file.h"

// How much of each block is written after its allocation and checked before its end.
enum replay_fill {
    FILL_ENDS,  // the first and the last bytes
    FILL_PAGES, // and a byte of every page: as much memory becomes resident as a program would use
    FILL_ALL,
};

struct replay_options {
    bool real_threads; // one for each thread of the trace; else all operations in one thread
    enum replay_fill fill;
    unsigned repeats; // 1 or more; blocks that are left are freed after each
    uint32_t samples; // to be taken over the operations, about; 0 with real threads or repeats
};

struct replay_sample {
    uint64_t operation;  // after so many
    uint64_t live_bytes; // in blocks, as they were asked for
    uint64_t rss_kib;    // resident, less what was so before
};

struct replay_result {
    uint64_t ops; // carried out, of all repeats
    double seconds;
    double cpu_seconds;            // of all threads
    uint64_t rss_before_kib;       // resident, with the trace in memory
    uint64_t rss_peak_kib;         // most resident at any time after that
    struct replay_sample *samples; // a mapping that stays, or NULL
    uint32_t samples_count;
};

// False: `error` says which operation (`where`) found what. With real threads an operation waits
// until all that the trace has earlier on the same block are done, and for nothing else.
struct replay_plan;
bool replay_run(const struct replay_plan *plan, struct replay_result *result,
                struct ops_error *error);
// The same in one go, in this process.
bool trace_replay(const struct trace *trace, const struct replay_options *options,
                  struct replay_result *result, struct ops_error *error);

#endif

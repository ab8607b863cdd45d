// scheduled.h: operation programs on logical threads, under the deterministic scheduler and the
// oracle. The targets that explore interleavings are thin layers over this.
//
// The schedule comes from the input's header (strategy, seed, depth) or from its list of decisions.
// One input, one execution: reset, run, finish; nothing is left for the next one.
#ifndef FUZZ_SCHEDULED_H
#define FUZZ_SCHEDULED_H

#include "exec.h"
#include "sched/scheduler.h"

struct scheduled_target {
    struct ops_limits limits;
    uint32_t steps_max;
    size_t space_bytes;      // address space of the virtual process
    uint64_t live_bytes_max; // allocations beyond are skipped
    const char *options;     // HAKMEM_OPTIONS of the virtual process, or NULL
    // All may be NULL.
    // Changes an operation of the input to what this target is about, before anything runs.
    void (*adapt)(struct op *op);
    // Called once per execution, after the reset.
    void (*begin)(struct exec *exec);
    // Called before each operation, in the thread that does it; true: it was done here.
    bool (*operation)(struct exec *exec, const struct op *op);
    // Whether the failure of an execution is what had to come; then it ends there, well.
    bool (*expected)(const struct sched_report *report);
    // Called at every scheduling point, before the checks of the harness; nothing runs meanwhile.
    void (*observe)(struct exec *exec);
    // Called by thread 0 when it is the last one, before its end, unless a thread is frozen.
    void (*last)(struct exec *exec);
    // Called when all threads have ended well; true: the end was checked here, else everything is
    // freed and audited (exec_finish).
    bool (*finish)(struct exec *exec);
};

// Programs as most targets have them: long enough for what threads do to each other, short
// enough for many in a second. `bytes`: the largest block that is no failure.
#define SCHEDULED_LIMITS(bytes)                                         \
    {                                                                   \
        .ops_max = 128, .slots = 48, .threads = 4, .size_max = (bytes), \
        .fail_min = (uint64_t)1 << 47                                   \
    }

// The fields up to `options`, for blocks of all tiers in a process that has memory enough.
#define SCHEDULED_USUAL                                                                    \
    .limits = SCHEDULED_LIMITS(GEOMETRY_SMALL ? 72u << 10 : 3u << 20), .steps_max = 20000, \
    .space_bytes = GEOMETRY_SMALL ? (size_t)16 << 20 : (size_t)256 << 20,                  \
    .live_bytes_max = GEOMETRY_SMALL ? 1u << 20 : 16u << 20

// What a target is: each defines it, and target_name; the entry points are scheduled.c's. Each
// input runs twice and must do the same both times.
extern const struct scheduled_target scheduled_target;

// Called by the engine before the first input: makes what all of them share. Always 0.
int LLVMFuzzerInitialize(int *argc, char ***argv);

#endif

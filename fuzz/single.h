// single.h: operation programs in one thread, whatever threads they name, every result held against
// the shadow map. The targets are thin layers over this, as those of scheduled.h are over that.
//
// One input, one run: it begins with an allocator that was never called (world.h), and at its end
// everything is freed and given back, and the audit must find nothing live.
#ifndef FUZZ_SINGLE_H
#define FUZZ_SINGLE_H

#include "exec.h"

struct single_target {
    struct ops_limits limits;
    const struct allocator *allocator;
    uint64_t live_bytes_max; // allocations beyond are skipped
    int children;            // how often an input may fork
    // Instead of the program's operations one by one and exec_finish; or NULL.
    void (*run)(struct exec *exec, const struct ops *program);
};

// What a target is: each defines it, and target_name; the entry points are single.c's.
extern const struct single_target single_target;

// Makes the run begin anew.
void single_reset(struct exec *exec, const struct ops *program);

#endif

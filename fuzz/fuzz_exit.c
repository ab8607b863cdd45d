// fuzz_exit.c: threads end, begin and fork at any scheduling point.
//
// `exit` runs the exit hook; what the thread does until the next `start` are destructors of other
// libraries, which allocate and free late. `fork` goes on in the parent or, alone, in the child:
// the other threads are gone in the middle of what they did. Each of them may have held one block
// (two in a realloc) on its hit path: these may stay live for ever; everything else is freed and
// audited.
#include "scheduled.h"
#include "sched/process.h"
#include "target.h"

#include <stdatomic.h>

const char target_name[] = "fuzz_exit";

static size_t done; // operations so far: decide between parent and child

// Trims and flushes become what this target is about.
static void adapt(struct op *op)
{
    if (op->kind == OP_FLUSH || op->kind == OP_STATS)
        op->kind = OP_EXIT;
    else if (op->kind == OP_AUDIT || op->kind == OP_MISUSE)
        op->kind = OP_START;
    else if (op->kind == OP_CORRUPT || op->kind == OP_FREEZE)
        op->kind = OP_FORK;
}

static void begin(struct exec *exec)
{
    (void)exec;
    done = 0;
}

static bool operation(struct exec *exec, const struct op *op)
{
    (void)exec;
    bool child = done++ % 2 != 0;
    switch (op->kind) {
    case OP_EXIT:
        process_end_thread();
        return true;
    case OP_START:
        process_exit_thread(); // one that is not late ends first: threads do not lose their heaps
        return true;
    case OP_FORK:
        process_fork(child);
        return true;
    default:
        return false;
    }
}

static bool finish_alone(struct exec *exec)
{
    uint32_t vanished = process_vanished();
    if (vanished == 0)
        return false;
    const struct allocator *a = exec->allocator;
    struct hak_audit_report report;
    a->fail_os(0, 0);
    for (uint32_t i = 0; i < exec->slot_count; i++)
        if (atomic_load(&exec->slots[i].state) == SLOT_FULL)
            exec_release(exec, &(struct op){ .kind = OP_FREE, .slot = i });
    a->flush();
    a->trim(0);
    if (!a->audit(&report))
        exec_wrong(exec, NULL, "audit in the child: %s", report.first_error);
    if (report.live + report.large + report.huge > 2 * vanished)
        exec_wrong(exec, NULL, "%llu blocks are live in the child, %u threads vanished",
                   (unsigned long long)(report.live + report.large + report.huge), vanished);
    return true;
}

const struct scheduled_target scheduled_target = {
    SCHEDULED_USUAL, .adapt = adapt, .begin = begin, .operation = operation, .finish = finish_alone,
};

// fuzz_os.c: the system fails at any call, memory is short, several threads at once.
//
// Every other operation arms a failure of one of the next calls; the address space is small, so
// that exhaustion is real too. Whatever fails: NULL and ENOMEM, nothing lost, nothing leaked, and
// when the system works again everything can be freed and the audit finds nothing live.
#include "scheduled.h"
#include "sched/system.h"
#include "target.h"

const char target_name[] = "fuzz_os";

// Anything may fail at any time: NULL is never wrong here, only what it leaves behind.
static void begin(struct exec *exec)
{
    exec->arena_bytes = 0;
}

static bool arm(struct exec *exec, const struct op *op)
{
    (void)exec;
    if (op->kind == OP_FREEZE)
        return true; // the end must be checked
    if ((op->slot ^ op->kind) & 1)
        os_fault_arm(1 + op->slot / 2 % 4, 1 + op->slot / 8 % 3);
    return false;
}

const struct scheduled_target scheduled_target = {
    .limits = SCHEDULED_LIMITS(GEOMETRY_SMALL ? 400u << 10 : 6u << 20),
    .steps_max = 20000,
    .space_bytes = GEOMETRY_SMALL ? (size_t)6 << 20 : (size_t)96 << 20,
    .live_bytes_max = GEOMETRY_SMALL ? 4u << 20 : 64u << 20,
    .options = "purge_delay_ms=1",
    .begin = begin,
    .operation = arm,
};

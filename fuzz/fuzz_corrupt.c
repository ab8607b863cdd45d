// fuzz_corrupt.c: bits of the allocator's structures flipped between operations.
//
// Each input runs twice: without its `corrupt` operations in this process, where the oracle must
// be silent; and with them in a child, where most verdicts are findings for the table (make
// corrupt), not failures. What must never happen:
//   - a write behind a user's block makes the allocator fault, crash or hang, or its audit speak:
//     no state of the allocator lies there
//   - SIGABRT without a line that says why
#include "corruption.h"
#include "single.h"
#include "target.h"
#include "verdict.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

const char target_name[] = "fuzz_corrupt";

#define CHILD_SECONDS 30u

static void corrupt(const struct exec *exec, const struct op *op)
{
    const struct exec_slot *slot = &exec->slots[op->slot % exec->slot_count];
    struct corruption_bits bits;
    size_t bit;
    if (atomic_load(&slot->state) == SLOT_FULL &&
        corruption_locate((unsigned)op->arg, slot->block.start, op->size, &bits, &bit))
        corruption_flip(bits, bit);
}

struct run {
    struct exec *exec;
    const struct ops *program;
};

// In the child.
static bool run_corrupted(void *arg, const uint8_t *data, size_t size)
{
    const struct run *run = arg;
    const struct ops *program = run->program;
    static const int signals[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTERM, SIGALRM };
    (void)data, (void)size;
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++)
        signal(signals[i], SIG_DFL);
    run->exec->fail = verdict_fail;
    for (size_t i = 0; i < program->count; i++)
        if (program->list[i].kind == OP_CORRUPT)
            corrupt(run->exec, &program->list[i]);
        else
            exec_op(run->exec, &program->list[i]);
    verdict_end(run->exec);
}

// What the verdict must not be, by the structures that were corrupted; NULL if it may be.
static const char *forbidden(const struct judgement *j, bool only_user_memory,
                             const struct trial *trial)
{
    // A sanitizer's report may end in abort too.
    bool aborted = WIFSIGNALED(trial->status) && WTERMSIG(trial->status) == SIGABRT &&
                   !strstr(trial->said, "Sanitizer") && !strstr(trial->said, "runtime error: ");
    if (aborted && j->verdict != VERDICT_FAULT)
        return "it aborted without saying why";
    if (only_user_memory && j->verdict != VERDICT_HARMLESS && j->verdict != VERDICT_SILENT)
        return "a write behind a block reached the allocator";
    return NULL;
}

static void run_with_corruption(struct exec *exec, const struct ops *program)
{
    bool any = false, only_user_memory = true;
    for (size_t i = 0; i < program->count; i++)
        if (program->list[i].kind == OP_CORRUPT) {
            any = true;
            only_user_memory &= program->list[i].arg == STRUCTURE_BLOCK_END;
        }
    struct run run = { exec, program };
    struct trial trial;
    if (!any || !trial_run(&trial, NULL, 0, CHILD_SECONDS, run_corrupted, &run))
        return;
    struct judgement j = verdict_judge(&trial);
    const char *wrong = forbidden(&j, only_user_memory, &trial);
    if (wrong) {
        char reason[400];
        snprintf(reason, sizeof reason, "%s: %s: %s", wrong, verdict_names[j.verdict], j.text);
        target_found(program, NULL, reason);
    }
    trial_free(&trial);
}

static void run_twice(struct exec *exec, const struct ops *program)
{
    for (size_t i = 0; i < program->count; i++)
        if (program->list[i].kind != OP_CORRUPT)
            exec_op(exec, &program->list[i]);
    exec_finish(exec);
    single_reset(exec, program);
    run_with_corruption(exec, program);
}

const struct single_target single_target = {
    .limits = { .ops_max = 256,
                .slots = 64,
                .threads = 1,
                .size_max = GEOMETRY_SMALL ? 1u << 20 : 4u << 20,
                .fail_min = (uint64_t)1 << 47 },
    .allocator = &allocator_hakmem,
    .live_bytes_max = 8u << 20,
    .run = run_twice,
};

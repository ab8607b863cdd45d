// fuzz_reuse.c: slabs turn EMPTY and are used again, by another class or owner, while frees of
// their old life are in flight; and blocks are freed once more after that.
//
// Sizes are folded to a few classes with few blocks per slab. A `misuse` frees a stale pointer:
// what its slot held last. If a live block begins there nobody can tell, so it is only counted.
// Else the allocator may report it now, when a batch is flushed or drained, or (both copies in
// magazines) never; from there on the heap is the user's fault, and the execution ends well with
// the report or with any failure. HAK_COUNTS=1 prints how many were reported, silent, or aliases.
#include "scheduled.h"
#include "target.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

const char target_name[] = "fuzz_reuse";

#define SLOTS 40u

static bool tainted;
static void *freed[SLOTS]; // what each slot held last
static unsigned long reported, broken, silent, aliases;

static void adapt(struct op *op)
{
    static const size_t sizes[] = { 640, 1024, 1024, 2048, 4096, 5120, 12288, 20480 };
    unsigned fields = ops_fields(op->kind);
    if (op->kind == OP_CALLOC || op->kind == OP_REALLOCARRAY)
        op->arg = 1;
    if ((fields & OPS_SIZE) && (fields & (OPS_DST | OPS_SLOT)) && op->kind != OP_TOUCH &&
        op->kind != OP_MISUSE)
        op->size = sizes[op->size % 8];
    if (op->kind == OP_CORRUPT || op->kind == OP_STATS)
        op->kind = OP_FLUSH;
    if (op->kind == OP_USABLE_SIZE)
        op->kind = OP_MISUSE;
}

static void begin(struct exec *exec)
{
    (void)exec;
    tainted = false;
    memset(freed, 0, sizeof freed);
}

static bool operation(struct exec *exec, const struct op *op)
{
    uint32_t i = op->slot % SLOTS;
    unsigned state = atomic_load(&exec->slots[i].state);
    if (op->kind != OP_MISUSE) {
        if ((ops_fields(op->kind) & OPS_SLOT) && state == SLOT_FULL)
            freed[i] = exec->slots[i].block.start;
        return false;
    }
    if (tainted || state != SLOT_EMPTY || freed[i] == NULL)
        return true;
    if (shadow_find(&exec->shadow, freed[i]) != NULL) {
        aliases++;
        return true;
    }
    tainted = true;
    exec->allocator->free(freed[i]);
    exec->allocator->flush();
    return true;
}

static bool expected(const struct sched_report *report)
{
    if (!tainted)
        return false;
    if (strcmp(report->kind, "fault") == 0)
        reported++;
    else
        broken++;
    return true;
}

static bool finish_tainted(struct exec *exec)
{
    (void)exec;
    silent += tainted;
    return tainted;
}

static void print_counts(void)
{
    if (getenv("HAK_COUNTS") != NULL)
        fprintf(stderr,
                "stale frees: %lu reported, %lu seen by the oracle first, %lu silent; %lu were of "
                "live blocks\n",
                reported, broken, silent, aliases);
}

static const struct scheduled_target target = {
    .limits = { .ops_max = 160,
                .slots = SLOTS,
                .threads = 4,
                .size_max = GEOMETRY_SMALL ? 72u << 10 : 3u << 20,
                .fail_min = (uint64_t)1 << 47 },
    .steps_max = 20000,
    .space_bytes = GEOMETRY_SMALL ? (size_t)8 << 20 : (size_t)256 << 20,
    .live_bytes_max = GEOMETRY_SMALL ? 1u << 20 : 16u << 20,
    .options = "purge_delay_ms=2",
    .adapt = adapt,
    .begin = begin,
    .operation = operation,
    .expected = expected,
    .finish = finish_tainted,
};

bool target_print(const uint8_t *data, size_t size, FILE *out)
{
    return scheduled_print(&target, data, size, out);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    atexit(print_counts);
    return scheduled_start(&target);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return scheduled_run(&target, data, size);
}

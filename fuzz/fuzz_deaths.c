// fuzz_deaths.c: a canary for reports: `trim N` ends the process, each N in a way of its own.
// scripts/test-deaths shows that each is reported with its time line, and alike by every engine.
#include "scheduled.h"
#include "sched/races.h"
#include "target.h"

#include <stdlib.h>

const char target_name[] = "fuzz_deaths";

static int shared;     // of two threads, which nothing orders
static unsigned turns; // survives from one execution to the next

static bool never(void *arg)
{
    (void)arg;
    return false;
}

// Each frame is used after the call that it makes, so none is saved.
static int overflow_stack(volatile size_t *depth)
{
    volatile size_t frame[512];
    frame[0] = *depth + 1;
    return frame[0] == 0 ? 0 : overflow_stack(frame) + (int)frame[0];
}

static void die_by_memory(uint64_t way)
{
    volatile int top = INT32_MAX;
    volatile size_t bytes = 10;
    volatile char *block = NULL;
    switch (way) {
    case 1:
        abort();
    case 2:
        *block = 1;
        break;
    case 3:
        overflow_stack((volatile size_t[]){ 1 });
        break;
    case 4: // told by UndefinedBehaviorSanitizer only
        shared = top + 1;
        break;
    case 5: // told by AddressSanitizer only
        block = malloc(bytes);
        if (block != NULL)
            (void)block[bytes];
        free((char *)block);
        break;
    default: // told by ThreadSanitizer only
        races_write(&shared, sizeof shared);
    }
}

static bool operation(struct exec *exec, const struct op *op)
{
    static const struct sched_site at = { .name = "deaths", .kind = EVENT_WAIT };
    static const struct sched_site spin = { .name = "deaths.spin", .kind = EVENT_YIELD };
    void *p;
    if (op->kind != OP_TRIM || op->size == 0)
        return false;
    switch (op->size) {
    case 7:
        p = exec->allocator->malloc(100);
        exec->allocator->free(p);
        exec->allocator->flush();
        exec->allocator->free(p);
        exec->allocator->flush();
        break;
    case 8:
        sched_wait(&at, never, NULL);
        break;
    case 9:
        for (;;)
            sched_yield_point(&spin);
    case 10:
        for (;;)
            __asm__ volatile("" ::: "memory");
    case 11:
        exec_wrong(exec, op, "a planted mistake");
    case 12: // no death, but another execution each time
        for (unsigned i = ++turns % 2; i != 0; i--)
            sched_yield_point(&spin);
        break;
    default:
        die_by_memory(op->size);
    }
    return true;
}

const struct scheduled_target scheduled_target = {
    .limits = { .ops_max = 16,
                .slots = 16,
                .threads = 4,
                .size_max = 4096,
                .fail_min = (uint64_t)1 << 47 },
    .steps_max = 2000,
    .space_bytes = GEOMETRY_SMALL ? (size_t)16 << 20 : (size_t)256 << 20,
    .live_bytes_max = 1u << 20,
    .operation = operation,
};

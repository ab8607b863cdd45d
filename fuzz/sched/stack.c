// stack.c: no signals on logical threads, and stacks without frames. What the C library sets up for
// them at the first use is a cell here: who takes a stack must find it set up.
#include "stack.h"

#include <seam/signals.h>
#include <seam/stack.h>

#include "scheduler.h"

static uint32_t unwinder; // 1: set up

void stack_reset(void)
{
    unwinder = 0;
}

void hak_stack_start(void)
{
    static const struct sched_site at = { .name = "unwinder", .kind = EVENT_STORE, .bytes = 4 };
    sched_store(&at, &unwinder, 1);
}

uint32_t hak_stack_take(void **frames, uint32_t count_max)
{
    static const struct sched_site at = { .name = "unwinder", .kind = EVENT_LOAD, .bytes = 4 };
    (void)frames;
    (void)count_max;
    if (sched_load(&at, &unwinder) != 1)
        sched_fail("unwinder", "a stack is taken before the C library is set up for it");
    return 0;
}

const char *hak_stack_module(const void *pc, size_t *offset)
{
    (void)pc;
    (void)offset;
    return NULL;
}

uint32_t hak_stack_own(void *const *frames, uint32_t count)
{
    (void)frames, (void)count;
    return 0;
}

bool hak_stack_object(const void *pc, struct stack_object *out)
{
    (void)pc, (void)out;
    return false;
}

uintptr_t hak_stack_program(void)
{
    return 0;
}

void hak_stack_watch_access(void)
{
}

enum signal_watched hak_signal_watch(int number)
{
    (void)number;
    return SIGNAL_REFUSED;
}

// stack.c: no stacks and no signals on logical threads: nothing is sampled there (src/sampled.h).
#include <seam/signals.h>
#include <seam/stack.h>

void hak_stack_start(void)
{
}

uint32_t hak_stack_take(void **frames, uint32_t count_max)
{
    (void)frames;
    (void)count_max;
    return 0;
}

const char *hak_stack_module(const void *pc, size_t *offset)
{
    (void)pc;
    (void)offset;
    return NULL;
}

bool hak_stack_is_own(const void *pc)
{
    (void)pc;
    return false;
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

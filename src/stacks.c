// stacks.c: what the C library sets up to find frames is set up once, by one thread, while others
// allocate. Nobody uses it before it is whole: they go without a stack.
#include "stacks.h"

#include <seam/atomics.h>
#include <seam/stack.h>

static struct atomic_u32 started;

void hak_stacks_start(void)
{
    stack_start();
    store_release(STACK_STARTED, &started, 1); // what was set up
}

uint32_t hak_stacks_take(void **frames, uint32_t count_max)
{
    if (load_acquire(STACK_IS_STARTED, &started) == 0) // pairs with STACK_STARTED
        return 0;
    return stack_take(frames, count_max);
}

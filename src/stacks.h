// stacks.h: the calling thread's stack, and the stacks that are kept of a sampled block.
#ifndef HAK_STACKS_H
#define HAK_STACKS_H

#include "config.h"

// Where a block was allocated and freed.
struct stacks {
    void *allocated[STACK_FRAMES];
    void *freed[STACK_FRAMES];
    uint32_t allocated_count, freed_count; // freed_count 0: it has not been
};

// Once after start, outside of the gate: the C library allocates here what it needs for stacks.
void hak_stacks_start(void);

// Return addresses of the callers, innermost first; returns how many. Any thread: none are found
// until hak_stacks_start is done. Does not allocate.
uint32_t hak_stacks_take(void **frames, uint32_t count_max);

#endif

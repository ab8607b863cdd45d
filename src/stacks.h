// stacks.h: where a sampled block was allocated and freed.
#ifndef HAK_STACKS_H
#define HAK_STACKS_H

#include "config.h"

struct stacks {
    void *allocated[STACK_FRAMES];
    void *freed[STACK_FRAMES];
    uint32_t allocated_count, freed_count; // freed_count 0: it has not been
};

#endif

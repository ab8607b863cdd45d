// wrong.h: what the wrong programs of this folder share.
//
// Each program makes one mistake with the heap, in the function `mistake`. Its block was allocated
// in `allocate` and, where the mistake needs that, freed in `release`: the names that a report must
// show. The program says where its block is, on standard output, before the mistake.
#ifndef WRONG_H
#define WRONG_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP __attribute__((noinline))

// Names the block, for the runner.
static inline void say_block(const void *p, size_t n)
{
    printf("block %p %zu\n", p, n);
    fflush(stdout);
}

#endif

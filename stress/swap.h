// swap.h: threads of a load that swap blocks with each other, so that who frees or resizes a block
// is seldom the one who took it.
#ifndef STRESS_SWAP_H
#define STRESS_SWAP_H

#include "load.h"

#define SWAP_PLACES 64u

struct swap {
    struct run *run;
    unsigned places; // in use, at most SWAP_PLACES
    pthread_mutex_t lock;
    struct block place[SWAP_PLACES]; // guarded by lock
};

struct swap_member {
    struct swap *swap;
    unsigned index;
};

// Runs `thread` in each of the run's threads, with a struct swap_member for its argument, and gives
// back what lies in the places afterwards.
void swap_run(struct run *r, const char *name, unsigned places, void *(*thread)(void *));

// Puts *b, which may be no block, into some place, and what was there into *b.
void swap_any(struct swap *swap, struct worker *w, struct block *b);

// Gives back those that are blocks.
void swap_give_all(struct worker *w, struct block *blocks, unsigned count);

#endif

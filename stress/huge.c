// huge: blocks from 512 KiB to 96 MiB: taken, zeroed, grown in place or moved, shrunk, cached.
//
// Per thread, at random: random sizes; the same size over and over (a cache of freed runs must
// serve it with zeroes where promised); growth in small steps (in place or remapped, contents
// kept); shrinking (the tail's memory must be given back); blocks that another thread frees.
//
// Catches: stale bytes in calloc from a cache, lost tails, overlapping runs, address space that
// leaks, two frees of a huge block that race, SuperSlabs claimed twice (by a huge block and by a
// slab).
#include "swap.h"

#define SLOTS 8u
#define PLACES 16u
#define SIZE_LOW (512 * KIB)
#define SIZE_TOP (96 * MIB)
#define LIVE_ALL_MAX LOAD_BUDGET(1024 * MIB)

// The same size again and again: what was freed last comes back.
static void cycle(struct worker *w, size_t n)
{
    struct block b;

    for (int i = 0; i < 6; i++) {
        if (i % 2 == 0)
            block_take_zeroed(w, &b, n);
        else
            block_take(w, &b, n);
        block_give(w, &b);
    }
}

static void grow_and_shrink(struct worker *w, struct block *b)
{
    size_t top = b->n + 8 * MIB;

    while (b->n < top)
        block_resize(w, b, b->n + rng_between(&w->rng, 1, 2 * MIB));
    block_resize(w, b, b->n / 3 + 1);
    block_resize(w, b, rng_between(&w->rng, 1, 64 * KIB)); // down to the tiers below
}

static void *member_thread(void *arg)
{
    struct swap_member *m = arg;
    struct run *r = m->swap->run;
    struct worker *w = worker_begin(r, "huge", m->index);
    struct block blocks[SLOTS] = { { 0 } };

    w->full_every = 2;
    while (!load_over(r)) {
        struct block *b = &blocks[rng_below(&w->rng, SLOTS)];
        size_t n = rng_log_between(&w->rng, SIZE_LOW, SIZE_TOP);
        bool room = watch_live() + (int64_t)n < (int64_t)LIVE_ALL_MAX;

        switch (rng_below(&w->rng, 8)) {
        case 0:
            cycle(w, rng_log_between(&w->rng, SIZE_LOW, 16 * MIB));
            break;
        case 1:
            swap_any(m->swap, w, b);
            break;
        case 2:
            if (b->p != NULL && b->n < 32 * MIB)
                grow_and_shrink(w, b);
            break;
        case 3:
            if (b->p != NULL && room)
                block_resize(w, b, n);
            break;
        default:
            if (b->p != NULL)
                block_give(w, b);
            else if (room && rng_below(&w->rng, 3) == 0)
                block_take_zeroed(w, b, n);
            else if (room)
                block_take(w, b, n);
            break;
        }
    }
    swap_give_all(w, blocks, SLOTS);
    worker_end(w);
    return NULL;
}

static void huge(struct run *r)
{
    swap_run(r, "huge-main", PLACES, member_thread);
}

const struct load load_huge = {
    .name = "huge",
    .help = "blocks to 96 MiB: cached, grown, shrunk, moved, zeroed",
    .arguments = "",
    .threads = 4,
    .run = huge,
};

#include "swap.h"

#include <stdlib.h>

void swap_any(struct swap *swap, struct worker *w, struct block *b)
{
    size_t i = rng_below(&w->rng, swap->places);
    struct block other;

    pthread_mutex_lock(&swap->lock);
    other = swap->place[i];
    swap->place[i] = *b;
    *b = other;
    pthread_mutex_unlock(&swap->lock);
}

void swap_give_all(struct worker *w, struct block *blocks, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (blocks[i].p != NULL)
            block_give(w, &blocks[i]);
    }
}

void swap_run(struct run *r, const char *name, unsigned places, void *(*thread)(void *))
{
    struct swap *swap = load_books(1, sizeof *swap);
    struct swap_member *members = load_books(r->threads, sizeof *members);
    struct worker *w;

    swap->run = r;
    swap->places = places;
    pthread_mutex_init(&swap->lock, NULL);
    for (unsigned i = 0; i < r->threads; i++)
        members[i] = (struct swap_member){ swap, i };
    load_threads_run(r->threads, thread, members, sizeof *members);
    w = worker_begin(r, name, 0xffff);
    swap_give_all(w, swap->place, places);
    worker_end(w);
    pthread_mutex_destroy(&swap->lock);
    free(members);
    free(swap);
}

// realloc: blocks grow and shrink across all tiers, every byte pattern checked.
//
// Each thread has slots; a block walks: small steps, doublings, jumps to another tier, shrinking,
// reallocarray, by its taker or by another thread (slots are exchanged through a common table).
//
// Catches: bytes lost or taken over at a move, a tail that was given back too early, sizes between
// two tiers that nobody serves, blocks freed twice when a move fails half way, realloc of a block
// of another thread.
#include "swap.h"

#include <errno.h>

#define SLOTS 64u
#define PLACES 64u
#define SIZE_TOP LOAD_BUDGET(12 * MIB)
#define LIVE_PER_THREAD_MAX LOAD_BUDGET(24 * MIB)

static size_t next_size(struct rng *r, size_t n)
{
    size_t next;

    switch (rng_below(r, 8)) {
    case 0:
        next = n + 1;
        break;
    case 1:
        next = n + rng_between(r, 1, 64);
        break;
    case 2:
        next = n + n / 2 + 1;
        break;
    case 3:
        next = 2 * n;
        break;
    case 4:
        next = n - n / 4;
        break;
    case 5:
        next = n / 2;
        break;
    case 6:
        next = block_common_size(r);
        break;
    default:
        next = rng_log_between(r, 1, SIZE_TOP);
        break;
    }
    return next < 1 ? 1 : next > SIZE_TOP ? SIZE_TOP : next;
}

// The forms that are not a plain change of size.
static void special(struct worker *w, struct block *b)
{
    // Volatile, so that the compiler does not judge the sizes.
    volatile size_t half = SIZE_MAX / 2;
    volatile size_t beyond = (size_t)PTRDIFF_MAX + 1;
    void *p;

    switch (rng_below(&w->rng, 3)) {
    case 0: // a product that overflows: nothing happens
        worker_op(w, "reallocarray");
        errno = 0;
        if (hak_reallocarray(b->p, half, 3) != NULL || errno != ENOMEM)
            load_fail(w, "reallocarray of an overflowing product: errno %d", errno);
        break;
    case 1: // beyond PTRDIFF_MAX: nothing happens
        worker_op(w, "realloc");
        errno = 0;
        p = hak_realloc(b->p, beyond);
        if (p != NULL || errno != ENOMEM)
            load_fail(w, "realloc beyond PTRDIFF_MAX returned %p, errno %d", p, errno);
        break;
    default: // NULL allocates
        worker_op(w, "realloc");
        block_give(w, b);
        block_adopt(w, b, hak_realloc(NULL, 100), 100);
        break;
    }
    worker_op(w, NULL);
    block_check(w, b, "after a realloc that does nothing");
}

static void *member_thread(void *arg)
{
    struct swap_member *m = arg;
    struct worker *w = worker_begin(m->swap->run, "realloc", m->index);
    struct block blocks[SLOTS] = { { 0 } };

    w->full_every = 2;
    while (!load_over(m->swap->run)) {
        struct block *b = &blocks[rng_below(&w->rng, SLOTS)];
        uint64_t kind = rng_below(&w->rng, 100);

        if (b->p == NULL) {
            block_take(w, b, block_common_size(&w->rng));
        } else if (kind < 4) {
            special(w, b);
        } else if (kind < 12) {
            swap_any(m->swap, w, b);
        } else if (kind < 16 || atomic_load(&w->live_bytes) > (int64_t)LIVE_PER_THREAD_MAX) {
            block_give(w, b);
        } else {
            block_resize(w, b, next_size(&w->rng, b->n));
        }
    }
    swap_give_all(w, blocks, SLOTS);
    worker_end(w);
    return NULL;
}

static void realloc_load(struct run *r)
{
    swap_run(r, "realloc-main", PLACES, member_thread);
}

const struct load load_realloc = {
    .name = "realloc",
    .help = "growth and shrink across all tiers, contents checked",
    .arguments = "",
    .threads = 8,
    .run = realloc_load,
};

// realloc: blocks grow and shrink across all tiers, every byte pattern checked.
//
// Each thread has slots; a block walks: small steps, doublings, jumps to another tier, shrinking,
// reallocarray, by its taker or by another thread (slots are exchanged through a common table).
//
// Catches: bytes lost or taken over at a move, a tail that was given back too early, sizes between
// two tiers that nobody serves, blocks freed twice when a move fails half way, realloc of a block
// of another thread.
#include "load.h"

#include <errno.h>
#include <stdlib.h>

#define SLOTS 64u
#define EXCHANGE 64u
#define SIZE_TOP LOAD_BUDGET(12 * MIB)
#define LIVE_PER_THREAD_MAX LOAD_BUDGET(24 * MIB)

struct common {
    struct run *run;
    pthread_mutex_t lock;
    struct block exchange[EXCHANGE]; // guarded by lock
};

struct member {
    struct common *common;
    unsigned index;
};

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

static void exchange(struct common *common, struct worker *w, struct block *b)
{
    size_t i = rng_below(&w->rng, EXCHANGE);
    struct block other;

    pthread_mutex_lock(&common->lock);
    other = common->exchange[i];
    common->exchange[i] = *b;
    *b = other;
    pthread_mutex_unlock(&common->lock);
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
    struct member *m = arg;
    struct worker *w = worker_begin(m->common->run, "realloc", m->index);
    struct block blocks[SLOTS] = { { 0 } };

    w->full_every = 2;
    while (!load_over(m->common->run)) {
        struct block *b = &blocks[rng_below(&w->rng, SLOTS)];
        uint64_t kind = rng_below(&w->rng, 100);

        if (b->p == NULL) {
            block_take(w, b, block_common_size(&w->rng));
        } else if (kind < 4) {
            special(w, b);
        } else if (kind < 12) {
            exchange(m->common, w, b);
        } else if (kind < 16 || atomic_load(&w->live_bytes) > (int64_t)LIVE_PER_THREAD_MAX) {
            block_give(w, b);
        } else {
            block_resize(w, b, next_size(&w->rng, b->n));
        }
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        if (blocks[i].p != NULL)
            block_give(w, &blocks[i]);
    }
    worker_end(w);
    return NULL;
}

static void realloc_load(struct run *r)
{
    struct common *common = load_books(1, sizeof *common);
    struct member *members = load_books(r->threads, sizeof *members);
    struct worker *w;

    common->run = r;
    pthread_mutex_init(&common->lock, NULL);
    for (unsigned i = 0; i < r->threads; i++)
        members[i] = (struct member){ common, i };
    load_threads_run(r->threads, member_thread, members, sizeof *members);
    w = worker_begin(r, "realloc-main", 0xffff);
    for (unsigned i = 0; i < EXCHANGE; i++) {
        if (common->exchange[i].p != NULL)
            block_give(w, &common->exchange[i]);
    }
    worker_end(w);
    pthread_mutex_destroy(&common->lock);
    free(members);
    free(common);
}

const struct load load_realloc = {
    .name = "realloc",
    .help = "growth and shrink across all tiers, contents checked",
    .arguments = "",
    .threads = 8,
    .run = realloc_load,
};

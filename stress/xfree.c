// xfree: blocks are taken by one thread and freed by another, in every shape.
//
//   producers --[ring of batches]--> consumers
//   one to one | one to many | many to one, in large batches | many to many, consumers also take |
//   a thread that only frees, and is the only one that does
//
// Catches: lost remote frees and lost notifications (RSS grows without bound, the audit counts
// blocks that nobody holds), a block both free and remote, a drain that races with a push, memory
// that piles up with a thread which never allocates.
#include "load.h"

#include <stdlib.h>
#include <string.h>

#define RING_BATCHES LOAD_BUDGET(64u)
#define BATCH_MAX 256u

struct batch {
    size_t n;
    struct block blocks[BATCH_MAX];
};

// A bounded queue of batches; every field guarded by `lock`.
struct ring {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    unsigned producers; // still at work
    unsigned first, n;
    struct batch slots[RING_BATCHES];
};

struct shape {
    const char *name;
    unsigned producers_per_mille; // of the threads; at least one of each kind
    bool pairs;                   // each producer has a ring and a consumer of its own
    bool consumers_take;          // consumers keep blocks of their own beside
    size_t batch_max;
    size_t size_max;
};

static const struct shape shapes[] = {
    { "one to one", 500, true, false, 16, 1024 },
    { "one to many", 1, false, false, 8, 512 },
    { "many to one, batches", 999, false, false, BATCH_MAX, 256 },
    { "many to many, consumers take too", 500, false, true, 32, 4096 },
    { "only frees", 999, false, false, 64, 64 * 1024 },
};
#define SHAPES (sizeof shapes / sizeof shapes[0])
#define OWN_BLOCKS 256u

struct member {
    struct run *run;
    const struct shape *shape;
    struct ring *ring;
    uint64_t end_ns;
    uint64_t index;
    bool produces;
};

static void ring_push(struct ring *ring, const struct batch *batch)
{
    struct batch *slot;

    pthread_mutex_lock(&ring->lock);
    while (ring->n == RING_BATCHES)
        pthread_cond_wait(&ring->moved, &ring->lock);
    slot = &ring->slots[(ring->first + ring->n++) % RING_BATCHES];
    slot->n = batch->n;
    memcpy(slot->blocks, batch->blocks, batch->n * sizeof batch->blocks[0]);
    pthread_cond_broadcast(&ring->moved);
    pthread_mutex_unlock(&ring->lock);
}

// False: empty, and no producer is left.
static bool ring_pop(struct ring *ring, struct batch *batch)
{
    const struct batch *slot;
    bool got;

    pthread_mutex_lock(&ring->lock);
    while (ring->n == 0 && ring->producers > 0)
        pthread_cond_wait(&ring->moved, &ring->lock);
    got = ring->n > 0;
    if (got) {
        slot = &ring->slots[ring->first];
        batch->n = slot->n;
        memcpy(batch->blocks, slot->blocks, slot->n * sizeof slot->blocks[0]);
        ring->first = (ring->first + 1) % RING_BATCHES;
        ring->n--;
        pthread_cond_broadcast(&ring->moved);
    }
    pthread_mutex_unlock(&ring->lock);
    return got;
}

static void produce(struct member *m, struct worker *w, struct batch *batch)
{
    const struct shape *shape = m->shape;

    while (load_now_ns() < m->end_ns && !load_over(m->run)) {
        batch->n = rng_between(&w->rng, 1, shape->batch_max);
        for (size_t i = 0; i < batch->n; i++)
            block_take(w, &batch->blocks[i], rng_log_between(&w->rng, 1, shape->size_max));
        ring_push(m->ring, batch);
    }
    pthread_mutex_lock(&m->ring->lock);
    m->ring->producers--;
    pthread_cond_broadcast(&m->ring->moved);
    pthread_mutex_unlock(&m->ring->lock);
}

static void consume(struct member *m, struct worker *w, struct batch *batch)
{
    struct block own[OWN_BLOCKS] = { { 0 } };

    while (ring_pop(m->ring, batch)) {
        for (size_t i = 0; i < batch->n; i++) {
            block_give(w, &batch->blocks[i]);
            if (m->shape->consumers_take) {
                struct block *b = &own[rng_below(&w->rng, OWN_BLOCKS)];

                if (b->p != NULL)
                    block_give(w, b);
                block_take(w, b, rng_log_between(&w->rng, 1, m->shape->size_max));
            }
        }
    }
    for (size_t i = 0; i < OWN_BLOCKS; i++) {
        if (own[i].p != NULL)
            block_give(w, &own[i]);
    }
}

static void *member_thread(void *arg)
{
    struct member *m = arg;
    struct worker *w = worker_begin(m->run, m->produces ? "producer" : "consumer", m->index);
    struct batch *batch = load_books(1, sizeof *batch);

    if (m->produces)
        produce(m, w, batch);
    else
        consume(m, w, batch);
    free(batch);
    worker_end(w);
    return NULL;
}

static void run_shape(struct run *r, const struct shape *shape, double seconds, uint64_t round)
{
    unsigned n = r->threads < 2 ? 2 : r->threads;
    unsigned producers = n * shape->producers_per_mille / 1000;
    unsigned rings_n;
    struct ring *rings;
    struct member *members = load_books(n, sizeof *members);
    uint64_t end = load_now_ns() + (uint64_t)(seconds * 1e9);

    producers = producers < 1 ? 1 : producers > n - 1 ? n - 1 : producers;
    if (shape->pairs)
        n = 2 * producers;
    rings_n = shape->pairs ? producers : 1;
    rings = load_books(rings_n, sizeof *rings);
    for (unsigned i = 0; i < rings_n; i++) {
        pthread_mutex_init(&rings[i].lock, NULL);
        pthread_cond_init(&rings[i].moved, NULL);
        rings[i].producers = shape->pairs ? 1 : producers;
    }
    for (unsigned i = 0; i < n; i++) {
        members[i] = (struct member){
            r, shape, &rings[shape->pairs ? i % producers : 0], end, i + 1000 * round, i < producers
        };
    }
    load_threads_run(n, member_thread, members, sizeof *members);
    for (unsigned i = 0; i < rings_n; i++) {
        pthread_cond_destroy(&rings[i].moved);
        pthread_mutex_destroy(&rings[i].lock);
    }
    free(rings);
    free(members);
}

static void xfree(struct run *r)
{
    uint64_t round = 0;
    double part = r->seconds / SHAPES < 2 ? r->seconds / SHAPES : 2;

    for (; !load_over(r); round++) {
        run_shape(r, &shapes[round % SHAPES], part, round);
        if (r->alone)
            load_audit(shapes[round % SHAPES].name, 0);
    }
    load_note(r, ", %llu rounds over %zu shapes", (unsigned long long)round, SHAPES);
}

const struct load load_xfree = {
    .name = "xfree",
    .help = "producers and consumers in every shape, and a thread that only frees",
    .arguments = "",
    .threads = 8,
    .run = xfree,
};

// larson: a server whose threads hand their blocks to successors.
//
// The algorithm of P.-A. Larson and M. Krishnan, "Memory Allocation for Long-Running Server
// Applications", ISMM 1998: each lane has an array of blocks; its thread replaces random ones by
// blocks of new random sizes, `rounds` times the array's length; then it starts a successor, which
// inherits the array, and ends. So most blocks are freed by another thread than the one that took
// them, and often by one whose predecessor is just ending.
//
// Catches: a block owned twice, lost or late remote frees, hand-over of heaps between threads,
// growth when threads only free what others took, missing memory orders (under a race detector).
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct shape {
    size_t size_min, size_max; // bytes
    size_t chunks;             // blocks per lane
    uint64_t rounds;           // replacements by one thread / chunks
};

struct lane {
    struct run *run;
    const struct shape *shape;
    struct block *blocks;
    uint64_t index;
    uint64_t generation;
    pthread_t predecessor; // joined by its successor, when that ends
    _Atomic bool ended;    // no successor was started
    pthread_t last;
};

static void *lane_thread(void *arg)
{
    struct lane *lane = arg;
    const struct shape *shape = lane->shape;
    struct run *r = lane->run;
    struct worker *w = worker_begin(r, "larson", lane->index + lane->generation * LOAD_WORKERS_MAX);
    uint64_t todo = shape->rounds * shape->chunks;
    bool over = load_over(r);

    for (uint64_t i = 0; i < todo && !over; i++) {
        struct block *b = &lane->blocks[rng_below(&w->rng, shape->chunks)];

        block_give(w, b);
        block_take(w, b, rng_between(&w->rng, shape->size_min, shape->size_max));
        over = (i & 63) == 0 && load_over(r);
    }
    worker_end(w);
    if (lane->generation > 0)
        pthread_join(lane->predecessor, NULL);
    lane->generation++;
    lane->predecessor = pthread_self();
    atomic_fetch_add(&r->count, 1);
    if (over) {
        lane->last = pthread_self();
        atomic_store_explicit(&lane->ended, true, memory_order_release);
    } else {
        load_thread_start(lane_thread, lane);
    }
    return NULL;
}

static uint64_t argument(struct run *r, int i, uint64_t otherwise, uint64_t min, uint64_t max)
{
    char *end;
    unsigned long long x;

    if (i >= r->argc)
        return otherwise;
    errno = 0;
    x = strtoull(r->argv[i], &end, 10);
    if (errno != 0 || *end != '\0' || end == r->argv[i] || x < min || x > max) {
        fprintf(stderr, "stress larson: argument %d must be from %llu to %llu, not \"%s\"\n", i + 1,
                (unsigned long long)min, (unsigned long long)max, r->argv[i]);
        exit(2);
    }
    return x;
}

// Blocks are taken by one thread and shuffled, so that at first none belongs to its lane.
static void warm_up(struct run *r, struct lane *lanes, const struct shape *shape)
{
    struct worker *w = worker_begin(r, "larson-main", 0xffff);
    size_t total = shape->chunks * r->threads;
    struct block *all = lanes[0].blocks; // one array, a part per lane

    for (size_t i = 0; i < total; i++)
        block_take(w, &all[i], rng_between(&w->rng, shape->size_min, shape->size_max));
    for (size_t i = total - 1; i > 0; i--) {
        size_t j = rng_below(&w->rng, i + 1);
        struct block b = all[i];

        all[i] = all[j];
        all[j] = b;
    }
    worker_end(w);
}

static void larson(struct run *r)
{
    struct shape shape;
    struct lane *lanes;
    struct worker *w;
    uint64_t start;
    uint64_t ops_of_warm_up;
    double seconds;

    if (r->argc > 0)
        r->seconds = (double)argument(r, 0, 10, 1, 1000000);
    shape.size_min = argument(r, 1, 8, 1, MIB);
    shape.size_max = argument(r, 2, 1024, shape.size_min, 16 * MIB);
    shape.chunks = argument(r, 3, 1000, 1, 10000000);
    // Sanitizers are slow; hand-overs shall not be rare there.
    shape.rounds = argument(r, 4, LOAD_SANITIZER ? 10 : 100, 1, 1000000000);
    r->seed = argument(r, 5, r->seed, 0, UINT64_MAX);
    r->threads = (unsigned)argument(r, 6, r->threads, 1, 1024);
    lanes = load_books(r->threads, sizeof *lanes);
    lanes[0].blocks = load_books(shape.chunks * r->threads, sizeof *lanes[0].blocks);
    for (unsigned i = 0; i < r->threads; i++) {
        lanes[i].run = r;
        lanes[i].shape = &shape;
        lanes[i].index = i;
        lanes[i].blocks = lanes[0].blocks + i * shape.chunks;
    }
    warm_up(r, lanes, &shape);
    ops_of_warm_up = atomic_load(&r->ops);
    load_clock_start(r);
    start = load_now_ns();
    for (unsigned i = 0; i < r->threads; i++)
        load_thread_start(lane_thread, &lanes[i]);
    for (unsigned i = 0; i < r->threads; i++) {
        while (!atomic_load_explicit(&lanes[i].ended, memory_order_acquire))
            nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
        pthread_join(lanes[i].last, NULL);
    }
    seconds = (double)(load_now_ns() - start) / 1e9;
    load_note(r, ", throughput %.0f replacements per second, %llu threads in succession",
              (double)(atomic_load(&r->ops) - ops_of_warm_up) / 2 / seconds,
              (unsigned long long)atomic_load(&r->count));
    w = worker_begin(r, "larson-main", 0xfffe);
    for (size_t i = 0; i < shape.chunks * r->threads; i++)
        block_give(w, &lanes[0].blocks[i]);
    worker_end(w);
    free(lanes[0].blocks);
    free(lanes);
}

const struct load load_larson = {
    .name = "larson",
    .help = "servers' threads hand their blocks to successors (Larson and Krishnan, 1998)",
    .arguments = "[seconds min max chunks-per-thread rounds seed threads]",
    .threads = 16,
    .run = larson,
};

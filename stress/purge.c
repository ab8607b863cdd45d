// purge: after a peak, memory goes back to the system within the delay.
//
// Peaks of small blocks, of large ones, of huge ones and of a mixture are built up by all threads
// and freed; in one half of the rounds the threads then end, in the other they stay, blocked, with
// what their caches hold. A thread that lives on makes a slow call every few milliseconds. How many
// of them it took, each a purge delay after the one before, until memory is down is bounded.
//
// Catches: EMPTY units that are never purged, a purge that waits for a thread that sleeps, caches
// whose bound is none, decommits of pages that are then counted twice.
#define _GNU_SOURCE
#include "load.h"

#include <stdlib.h>

#define PEAK_PER_THREAD LOAD_BUDGET(48 * MIB)
#define BLOCKS_MAX (512 * KIB)
#define CHANCES_MAX 3u                              // to give back what is free
#define STAYS_MAX (4 * MIB + LOAD_BUDGET(20 * MIB)) // with no thread left
// And for each thread that keeps what it cached: magazines, and large blocks that it freed last.
#define KEPT_LARGE (72 * 64 * KIB) // RECENT_UNITS_MAX of src/config.h, and UNIT_SIZE
#define STAYS_PER_BLOCKED (3 * MIB + KEPT_LARGE)

struct shape {
    const char *name;
    size_t size_min, size_max;
};

static const struct shape shapes[] = {
    { "small", 100, 2 * KIB },
    { "large", 80 * KIB, 1 * MIB },
    { "huge", 2 * MIB, 16 * MIB },
    { "mixed", 16, 4 * MIB },
};
#define SHAPES (sizeof shapes / sizeof shapes[0])

struct member {
    struct run *run;
    const struct shape *shape;
    struct block *blocks;
    pthread_barrier_t *barrier;
    uint64_t index;
    bool stays;
};

static void *member_thread(void *arg)
{
    struct member *m = arg;
    struct worker *w = worker_begin(m->run, "purge", m->index);
    size_t n = 0;

    for (size_t bytes = 0; bytes < PEAK_PER_THREAD && n < BLOCKS_MAX; n++) {
        size_t size = rng_log_between(&w->rng, m->shape->size_min, m->shape->size_max);

        block_take(w, &m->blocks[n], size);
        // Every page is touched, so that the peak is one of memory.
        for (size_t at = 4096; at + 16 < size; at += 4096)
            ((volatile unsigned char *)m->blocks[n].p)[at + 8] = m->blocks[n].p[at + 8];
        bytes += size;
    }
    pthread_barrier_wait(m->barrier); // the peak
    pthread_barrier_wait(m->barrier);
    for (size_t i = 0; i < n; i++)
        block_give(w, &m->blocks[i]);
    worker_end(w);
    if (m->stays) {
        pthread_barrier_wait(m->barrier); // all is freed
        pthread_barrier_wait(m->barrier); // it was measured
    }
    return NULL;
}

// Waits until memory is at most `target`, making slow calls meanwhile; returns the milliseconds.
static double wait_for_memory(struct worker *w, size_t target, size_t *memory, unsigned *most)
{
    uint64_t start = load_now_ns();
    struct chances chances = { start, 0 };

    while ((*memory = load_memory_bytes()) > target && chances.n < CHANCES_MAX)
        load_chance(w, &chances);
    if (chances.n > *most)
        *most = chances.n;
    return (double)(load_now_ns() - start) / 1e6;
}

static void one_round(struct run *r, struct worker *w, struct member *members, unsigned round,
                      size_t before, unsigned *most)
{
    pthread_t *threads = load_books(r->threads, sizeof *threads);
    const struct shape *shape = &shapes[round % SHAPES];
    bool stay = round / SHAPES % 2 == 1;
    size_t peak;
    size_t after;
    size_t target = before + STAYS_MAX + LOAD_PUT_OFF_BYTES +
                    (stay ? r->threads * (STAYS_PER_BLOCKED + LOAD_PUT_OFF_BYTES) : 0);
    double ms;
    pthread_barrier_t barrier;

    pthread_barrier_init(&barrier, NULL, r->threads + 1);
    for (unsigned i = 0; i < r->threads; i++) {
        members[i] = (struct member){
            r, shape, members[i].blocks, &barrier, round * 1024 + i, stay
        };
        threads[i] = load_thread_start(member_thread, &members[i]);
    }
    pthread_barrier_wait(&barrier);
    peak = load_memory_bytes();
    pthread_barrier_wait(&barrier);
    if (stay) {
        pthread_barrier_wait(&barrier);
    } else {
        for (unsigned i = 0; i < r->threads; i++)
            pthread_join(threads[i], NULL);
    }
    ms = wait_for_memory(w, target, &after, most);
    if (!LOAD_PEER && after > target)
        load_fail(w,
                  "%s, threads %s: memory was %zu MiB at the start, %zu at the peak, and is %zu "
                  "after %.0f ms; "
                  "at most %zu were expected",
                  shape->name, stay ? "blocked" : "ended", before / MIB, peak / MIB, after / MIB,
                  ms, target / MIB);
    if (round < 2 * SHAPES)
        load_note(r, "; %s%s %zu MiB to %zu in %.0f ms", shape->name, stay ? " (threads stay)" : "",
                  peak / MIB, after / MIB, ms);
    if (stay) {
        pthread_barrier_wait(&barrier);
        for (unsigned i = 0; i < r->threads; i++)
            pthread_join(threads[i], NULL);
    }
    pthread_barrier_destroy(&barrier);
    free(threads);
}

static void purge(struct run *r)
{
    struct member *members = load_books(r->threads, sizeof *members);
    struct worker *w = worker_begin(r, "purge-main", 0xffff);
    unsigned most = 0;
    size_t before;
    unsigned round = 0;

    for (unsigned i = 0; i < r->threads; i++)
        members[i].blocks = load_books(BLOCKS_MAX, sizeof *members[i].blocks);
    before = load_memory_bytes();
    // Each shape once with threads that end and once with threads that stay, however short the
    // time.
    for (; round < 2 * SHAPES || !load_over(r); round++)
        one_round(r, w, members, round, before, &most);
    load_note(r, "; %u rounds, at most %u chances needed", round, most);
    for (unsigned i = 0; i < r->threads; i++)
        free(members[i].blocks);
    free(members);
    worker_end(w);
}

const struct load load_purge = {
    .name = "purge",
    .help = "after a peak, memory goes back to the system within the delay",
    .arguments = "",
    .threads = 4,
    .run = purge,
};

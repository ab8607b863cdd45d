// reuse: the same memory serves one size class after another.
//
// In each cycle all threads fill their share with blocks of one size, hand half of them to their
// neighbour, and everybody frees what he holds; then comes the next size, from 16 bytes to 3 MiB.
// The SuperSlabs must go round. How many were begun settles when what caches hold has come to lie
// in all of them; a leak goes on: when the cycles have doubled, there may be a quarter more.
//
// Catches: slabs that are never seen as empty, units re-used while a magazine, a remote word or a
// stale notification still names blocks of their old life, units that only serve their old class,
// tags of an old life.
#include "load.h"

#include <stdlib.h>

#define SHARE_BYTES LOAD_BUDGET(16 * MIB)
#define BLOCKS_MAX (128 * KIB)
#define WARM_CYCLES 36u // each size twice

static const size_t sizes[] = { 16,  3072,     48,        40 * KIB, 112,     700 * KIB,
                                256, 1024,     300 * KIB, 640,      3 * MIB, 8 * KIB,
                                96,  20 * KIB, 1792,      1 * MIB,  144,     100 * KIB };
#define SIZES (sizeof sizes / sizeof sizes[0])
_Static_assert(WARM_CYCLES % SIZES == 0, "a warm-up sees each size");

// Thread 0 writes between two barriers, all read after the second.
struct ring {
    pthread_barrier_t barrier;
    bool over;
    uint64_t mark, superslabs; // the cycle that is compared with, and SuperSlabs begun then
};

struct member {
    struct run *run;
    struct member *all;
    struct ring *ring;
    struct block *blocks; // BLOCKS_MAX
    size_t n;
    unsigned index;
};

static void fill(struct member *m, struct worker *w, size_t size)
{
    size_t n = SHARE_BYTES / size;

    m->n = n < 2 ? 2 : n > BLOCKS_MAX ? BLOCKS_MAX : n;
    for (size_t i = 0; i < m->n; i++)
        block_take(w, &m->blocks[i], size);
}

// Frees one's own even blocks and the neighbour's odd ones.
static void empty(struct member *m, struct worker *w)
{
    struct member *next = &m->all[(m->index + 1) % m->run->threads];

    for (size_t i = 0; i < m->n; i += 2)
        block_give(w, &m->blocks[i]);
    for (size_t i = 1; i < next->n; i += 2)
        block_give(w, &next->blocks[i]);
}

static void judge(struct run *r, uint64_t cycle, struct ring *ring)
{
    struct hak_stats stats;
    size_t most = r->threads * (size_t)SHARE_BYTES;

    if (LOAD_PEER || !r->alone)
        return;
    hak_get_stats(&stats);
    if (cycle == (ring->mark == 0 ? WARM_CYCLES : 2 * ring->mark)) {
        ring->mark = cycle;
        ring->superslabs = stats.superslabs;
    }
    if (ring->mark != 0 && stats.superslabs > ring->superslabs + ring->superslabs / 4 + 8)
        load_fail(NULL, "cycle %llu: %llu SuperSlabs, %llu in cycle %llu",
                  (unsigned long long)cycle, (unsigned long long)stats.superslabs,
                  (unsigned long long)ring->superslabs, (unsigned long long)ring->mark);
    if (stats.committed_bytes > 3 * most + 64 * MIB + r->threads * LOAD_PUT_OFF_BYTES)
        load_fail(NULL, "cycle %llu: %llu MiB are committed for %zu MiB at most live",
                  (unsigned long long)cycle, (unsigned long long)stats.committed_bytes / MIB,
                  most / MIB);
}

static void *member_thread(void *arg)
{
    struct member *m = arg;
    struct run *r = m->run;
    struct worker *w = worker_begin(r, "reuse", m->index);
    struct ring *ring = m->ring;

    for (uint64_t cycle = 0; !ring->over; cycle++) {
        fill(m, w, sizes[cycle % SIZES]);
        pthread_barrier_wait(&ring->barrier);
        empty(m, w);
        pthread_barrier_wait(&ring->barrier);
        if (m->index == 0) {
            judge(r, cycle, ring);
            atomic_fetch_add(&r->count, 1);
            ring->over = load_over(r);
        }
        pthread_barrier_wait(&ring->barrier);
    }
    worker_end(w);
    return NULL;
}

static void reuse(struct run *r)
{
    struct ring ring = { .over = false };
    struct member *members = load_books(r->threads, sizeof *members);

    watch_allow(r->threads * LOAD_PUT_OFF_BYTES);
    pthread_barrier_init(&ring.barrier, NULL, r->threads);
    for (unsigned i = 0; i < r->threads; i++) {
        members[i] = (struct member){ .run = r, .all = members, .ring = &ring, .index = i };
        members[i].blocks = load_books(BLOCKS_MAX, sizeof *members[i].blocks);
    }
    load_threads_run(r->threads, member_thread, members, sizeof *members);
    load_note(r, ", %llu cycles over %zu sizes, %llu SuperSlabs in cycle %llu",
              (unsigned long long)atomic_load(&r->count), SIZES,
              (unsigned long long)ring.superslabs, (unsigned long long)ring.mark);
    for (unsigned i = 0; i < r->threads; i++)
        free(members[i].blocks);
    free(members);
    pthread_barrier_destroy(&ring.barrier);
}

const struct load load_reuse = {
    .name = "reuse",
    .help = "the same memory cycles through all size classes",
    .arguments = "",
    .threads = 4,
    .run = reuse,
};

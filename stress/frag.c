// frag: how much memory is held for how much that is live, after long random lifetimes.
//
//   Robson    J. M. Robson, "Bounds for some functions concerning dynamic storage allocation",
//             1974: for sizes 2^i the program keeps just the blocks that stand in the way of
//             blocks of size 2^(i+1), and fills up to the same number of live bytes.
//   server    sessions of many sizes with lifetimes of an exponential law, short-lived requests
//             among them; the number of sessions rises, stays, and falls to a tenth.
//
// Catches: pages and SuperSlabs held by few blocks, classes that never give units back, memory
// that stays after a peak. It prints RSS over live bytes at the peak and after, and fails beyond
// bounds that leave room only for what the structure explains. Peers, of which some keep what the
// first program left, are compared by each alone: scripts/stress compare frag robson, server.
#define _GNU_SOURCE
#include "load.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROBSON_LIVE LOAD_BUDGET(48 * MIB)
#define ROBSON_SIZE_FIRST 16u
#define ROBSON_SIZE_LAST (64 * KIB)
#define ROBSON_BLOCKS_MAX (ROBSON_LIVE / ROBSON_SIZE_FIRST)
#define SESSIONS_PER_THREAD LOAD_BUDGET(20000u)
#define REQUEST_BLOCKS 24u
#define BOUND_ROBSON 9.0 // half the doublings, the law's lower bound, plus tags and rounding
#define BOUND_SERVER_PEAK 1.7
#define PEAK_SLACK (16 * MIB)
#define RETURN_CHANCES 28u
#define SERVER_CHANCES 9u
#define RETURN_SLACK_CACHED (32 * MIB)
#define RETURN_SLACK (16 * MIB)

struct figures {
    size_t rss_start, rss_peak, live_peak, rss_after, live_after, rss_trimmed; // bytes
};

// Delayed purging happens, and caches that are not used are flushed, by halves.
static void settle(struct worker *w, unsigned chances_max)
{
    struct chances chances = { 0 };

    while (chances.n < chances_max) {
        struct block b;

        block_take(w, &b, rng_log_between(&w->rng, 16, 1 * MIB));
        block_give(w, &b);
        load_chance(w, &chances);
    }
}

// ---- Robson's program ----

// Whether [p, p + n) covers an address that is `offset` modulo `step`.
static bool stands_at(const struct block *b, uintptr_t offset, uintptr_t step)
{
    uintptr_t p = (uintptr_t)b->p;
    uintptr_t next = p + (offset + step - p % step) % step;

    return next < p + b->n;
}

// Of the two offsets modulo `step` that extend `offset`, the one more bytes stand at.
static uintptr_t better_offset(const struct block *blocks, size_t n, uintptr_t offset,
                               uintptr_t step)
{
    size_t low = 0;
    size_t high = 0;

    for (size_t i = 0; i < n; i++) {
        if (stands_at(&blocks[i], offset, step))
            low += step - blocks[i].n;
        if (stands_at(&blocks[i], offset + step / 2, step))
            high += step - blocks[i].n;
    }
    return low >= high ? offset : offset + step / 2;
}

static void robson(struct worker *w, struct figures *f)
{
    struct block *blocks = load_books(ROBSON_BLOCKS_MAX, sizeof *blocks);
    size_t n = 0;
    size_t live = 0;
    uintptr_t offset = 0;

    memset(blocks, 0, ROBSON_BLOCKS_MAX * sizeof *blocks); // its pages are there before the start
    f->rss_start = load_memory_bytes();
    for (size_t size = ROBSON_SIZE_FIRST; size <= ROBSON_SIZE_LAST; size *= 2) {
        if (size > ROBSON_SIZE_FIRST) {
            size_t kept = 0;

            offset = better_offset(blocks, n, offset, size);
            for (size_t i = 0; i < n; i++) {
                if (stands_at(&blocks[i], offset, size)) {
                    blocks[kept++] = blocks[i];
                } else {
                    live -= blocks[i].n;
                    block_give(w, &blocks[i]);
                }
            }
            n = kept;
        }
        while (live + size <= ROBSON_LIVE) {
            block_take(w, &blocks[n++], size);
            live += size;
        }
    }
    f->rss_peak = load_memory_bytes();
    f->live_peak = live;
    for (size_t i = 0; i < n; i++)
        block_give(w, &blocks[i]);
    settle(w, RETURN_CHANCES);
    f->rss_after = load_memory_bytes();
    f->live_after = 0;
    hak_malloc_trim(0);
    f->rss_trimmed = load_memory_bytes();
    free(blocks);
}

// ---- the server ----

struct session {
    struct block block;
    uint64_t ends_at; // tick
};

struct server {
    struct run *run;
    struct session *sessions;
    unsigned index;
    double seconds;
    pthread_barrier_t *peak;
    struct figures *figures;
};

static uint64_t lifetime(struct rng *r, double mean)
{
    double u = ((double)(rng_next(r) >> 11) + 1) / 9007199254740994.0;

    return (uint64_t)(-log(u) * mean) + 1;
}

// A request: short-lived blocks around the work on some sessions.
static void serve(struct worker *w, struct session *sessions, size_t n, uint64_t tick, double mean)
{
    struct block request[REQUEST_BLOCKS];
    size_t blocks = rng_between(&w->rng, 4, REQUEST_BLOCKS);

    for (size_t i = 0; i < blocks; i++)
        block_take(w, &request[i], rng_log_between(&w->rng, 8, 16 * KIB));
    for (size_t i = 0; i < 8; i++) {
        struct session *s = &sessions[rng_below(&w->rng, n)];

        if (s->block.p != NULL && tick >= s->ends_at)
            block_give(w, &s->block);
        if (s->block.p == NULL) {
            block_take(w, &s->block, rng_log_between(&w->rng, 24, 8 * KIB));
            s->ends_at = tick + lifetime(&w->rng, mean);
        }
    }
    for (size_t i = 0; i < blocks; i++)
        block_give(w, &request[i]);
}

static void *server_thread(void *arg)
{
    struct server *s = arg;
    struct worker *w = worker_begin(s->run, "server", s->index);
    uint64_t end = load_now_ns() + (uint64_t)(s->seconds * 1e9);
    uint64_t tick = 0;

    while (tick < SESSIONS_PER_THREAD || (load_now_ns() < end && !load_over(s->run)))
        serve(w, s->sessions, SESSIONS_PER_THREAD, tick++, SESSIONS_PER_THREAD / 2.0);
    if (pthread_barrier_wait(s->peak) == PTHREAD_BARRIER_SERIAL_THREAD) {
        s->figures->rss_peak = load_memory_bytes();
        s->figures->live_peak = (size_t)watch_live();
    }
    pthread_barrier_wait(s->peak);
    for (size_t i = 0; i < SESSIONS_PER_THREAD; i++) { // nine of ten end
        if (s->sessions[i].block.p != NULL && rng_below(&w->rng, 10) != 0)
            block_give(w, &s->sessions[i].block);
    }
    worker_end(w);
    return NULL;
}

static void server(struct run *r, struct worker *w, struct figures *f)
{
    struct server *servers = load_books(r->threads, sizeof *servers);
    struct session *sessions = load_books(r->threads * (size_t)SESSIONS_PER_THREAD,
                                          sizeof *sessions);
    double left = ((double)atomic_load(&r->deadline_ns) - (double)load_now_ns()) / 1e9;
    pthread_barrier_t peak;

    memset(sessions, 0, r->threads * (size_t)SESSIONS_PER_THREAD * sizeof *sessions);
    f->rss_start = load_memory_bytes();
    pthread_barrier_init(&peak, NULL, r->threads);
    for (unsigned i = 0; i < r->threads; i++)
        servers[i] = (struct server){ r,     sessions + i * (size_t)SESSIONS_PER_THREAD,
                                      i,     left > 1 ? left : 1,
                                      &peak, f };
    load_threads_run(r->threads, server_thread, servers, sizeof *servers);
    settle(w, SERVER_CHANCES);
    f->rss_after = load_memory_bytes();
    f->live_after = (size_t)watch_live();
    hak_malloc_trim(0);
    f->rss_trimmed = load_memory_bytes();
    for (size_t i = 0; i < r->threads * (size_t)SESSIONS_PER_THREAD; i++) {
        if (sessions[i].block.p != NULL)
            block_give(w, &sessions[i].block);
    }
    pthread_barrier_destroy(&peak);
    free(sessions);
    free(servers);
}

static size_t above(size_t rss, const struct figures *f)
{
    return rss > f->rss_start ? rss - f->rss_start : 0;
}

static void judge(struct run *r, const char *name, const struct figures *f, double bound)
{
    double peak = f->live_peak == 0 ? 0 : (double)above(f->rss_peak, f) / (double)f->live_peak;

    load_note(r,
              "; %s: live %zu MiB, RSS/live %.2f at the peak, then %zu MiB for %zu MiB live, %zu "
              "when trimmed",
              name, f->live_peak / MIB, peak, above(f->rss_after, f) / MIB, f->live_after / MIB,
              above(f->rss_trimmed, f) / MIB);

    if (!r->alone || LOAD_PEER)
        return;
    if ((double)above(f->rss_peak, f) > bound * (double)f->live_peak + PEAK_SLACK)
        load_fail(NULL, "%s: RSS is %.2f times the %zu MiB live at the peak; bound %.2f", name,
                  peak, f->live_peak / MIB, bound);
    // A block in a thread's cache holds its whole slab: after Robson's program, the only block of
    // it. So caches that are not used must be flushed.
    if (f->live_after == 0 && above(f->rss_after, f) > RETURN_SLACK_CACHED + LOAD_PUT_OFF_BYTES)
        load_fail(NULL, "%s: %zu MiB stay when nothing is live", name,
                  above(f->rss_after, f) / MIB);
    if (f->live_after == 0 && above(f->rss_trimmed, f) > RETURN_SLACK + LOAD_PUT_OFF_BYTES)
        load_fail(NULL, "%s: %zu MiB stay after a trim when nothing is live", name,
                  above(f->rss_trimmed, f) / MIB);
}

static void frag(struct run *r)
{
    struct figures f = { 0 };
    struct worker *w = worker_begin(r, "frag-main", 0xffff);
    const char *only = r->argc > 0 ? r->argv[0] : NULL;

    if (only != NULL && strcmp(only, "robson") != 0 && strcmp(only, "server") != 0) {
        fprintf(stderr, "stress frag: there is no program \"%s\"\n", only);
        exit(2);
    }
    if (only == NULL || strcmp(only, "robson") == 0) {
        watch_allow((size_t)(BOUND_ROBSON * (double)ROBSON_LIVE));
        robson(w, &f);
        judge(r, "Robson", &f, BOUND_ROBSON);
    }
    if (only == NULL || strcmp(only, "server") == 0) {
        f = (struct figures){ 0 };
        server(r, w, &f);
        judge(r, "server", &f, BOUND_SERVER_PEAK);
    }
    worker_end(w);
}

const struct load load_frag = {
    .name = "frag",
    .help = "RSS over live bytes after Robson's program and after a server's day",
    .arguments = "[robson | server]: this one alone, for figures without what the other left",
    .threads = 4,
    .run = frag,
};

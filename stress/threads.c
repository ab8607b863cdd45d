// threads: very many very short lives of threads.
//
// Managers start threads in batches. Each life takes blocks, frees some, leaves the rest in a
// common nest where others find and free them, often while their taker is ending. A life ends by
// return, by pthread_exit, detached, or cancelled; each has thread-specific data whose destructor
// allocates, frees and arms itself again, so that it also runs after the allocator's own exit
// hook.
//
// Catches: heaps that are lost or shared at a thread's end, frees into a heap that is being handed
// over, use of a heap after the exit hook, growth with each life (100,000 lives: --count 100000).
#define _GNU_SOURCE
#include "load.h"

#include <limits.h>
#include <sched.h>
#include <stdlib.h>

#define BATCH 16u
#define NEST_BLOCKS 4096u
#define LIFE_BLOCKS_MAX 48u
// To the last round, after which no hook runs. TSan's own state of the thread ends in that one.
#define DESTRUCTOR_ROUNDS \
    (LOAD_TSAN ? PTHREAD_DESTRUCTOR_ITERATIONS - 1 : PTHREAD_DESTRUCTOR_ITERATIONS)
#define GROWTH_MAX (24 * MIB)
#define LIVES_JUDGED 20000u // so many at least, and memory is compared with that after a tenth

struct nest {
    pthread_mutex_t lock;
    size_t n;
    struct block blocks[NEST_BLOCKS]; // guarded by lock
};

enum kind { RETURNS, EXITS, DETACHED, CANCELLED, KINDS };

struct common {
    struct run *run;
    struct nest nest;
    pthread_key_t key;
    uint64_t lives_early;
    _Atomic size_t early; // bytes of memory, after a tenth of the lives, or of LIVES_JUDGED
    _Atomic uint64_t kinds[KINDS];
};

struct life {
    struct common *common;
    struct worker *w;
    enum kind kind;
    uint64_t index;
    int destructor_rounds;
    struct block kept;
    _Atomic bool settled; // cancelled lives: it may be cancelled now
    _Atomic bool gone;    // its last destructor has run
};

struct manager {
    struct common *common;
    unsigned index;
};

// Leaves a block to others, or frees it when the nest is full.
static void leave(struct life *life, struct block *b)
{
    struct nest *nest = &life->common->nest;
    bool left = false;

    pthread_mutex_lock(&nest->lock);
    if (nest->n < NEST_BLOCKS) {
        nest->blocks[nest->n++] = *b;
        left = true;
    }
    pthread_mutex_unlock(&nest->lock);
    if (!left)
        block_give(life->w, b);
}

// Frees up to `n` blocks that others left.
static void tidy_nest(struct nest *nest, struct worker *w, size_t n)
{
    while (n-- > 0) {
        struct block b = { 0 };

        pthread_mutex_lock(&nest->lock);
        if (nest->n > 0) {
            size_t i = rng_below(&w->rng, nest->n);

            b = nest->blocks[i];
            nest->blocks[i] = nest->blocks[--nest->n];
        }
        pthread_mutex_unlock(&nest->lock);
        if (b.p == NULL)
            return;
        block_give(w, &b);
    }
}

static void at_thread_end(void *arg)
{
    struct life *life = arg;
    struct block b;

    if (life->kept.p != NULL)
        block_give(life->w, &life->kept);
    block_take(life->w, &b, block_common_size(&life->w->rng));
    leave(life, &b);
    tidy_nest(&life->common->nest, life->w, 2);
    if (++life->destructor_rounds < DESTRUCTOR_ROUNDS) {
        block_take(life->w, &life->kept, rng_between(&life->w->rng, 1, 4096));
        // Then the allocator's hook finds a thread without a heap, and the next round attaches it.
        if (!LOAD_PEER && rng_below(&life->w->rng, 4) == 0)
            hak_thread_flush();
        pthread_setspecific(life->common->key, life);
        return;
    }
    worker_end(life->w);
    atomic_store_explicit(&life->gone, true, memory_order_release);
}

static void leave_kept(void *arg)
{
    struct life *life = arg;

    leave(life, &life->kept);
    life->kept.p = NULL;
}

static void wait_for_cancel(struct life *life)
{
    block_take(life->w, &life->kept, 100);
    pthread_cleanup_push(leave_kept, life);
    atomic_store_explicit(&life->settled, true, memory_order_release);
    // Not in a call that blocks: TSan loses track of a thread that is cancelled in one of its own.
    for (;;) {
        pthread_testcancel();
        sched_yield();
    }
    pthread_cleanup_pop(0);
}

static void *life_thread(void *arg)
{
    struct life *life = arg;
    struct block blocks[LIFE_BLOCKS_MAX];
    struct worker *w = worker_begin(life->common->run, "life", life->index);
    size_t n = rng_between(&w->rng, 0, LIFE_BLOCKS_MAX);

    life->w = w;
    pthread_setspecific(life->common->key, life);
    for (size_t i = 0; i < n; i++)
        block_take(w, &blocks[i], block_common_size(&w->rng) % (32 * KIB));
    tidy_nest(&life->common->nest, w, n);
    for (size_t i = 0; i < n; i++) {
        if (rng_below(&w->rng, 2) == 0)
            block_give(w, &blocks[i]);
        else
            leave(life, &blocks[i]);
    }
    if (!LOAD_PEER && rng_below(&w->rng, 4) == 0)
        hak_thread_flush();
    if (life->kind == CANCELLED)
        wait_for_cancel(life);
    if (life->kind == EXITS)
        pthread_exit(NULL);
    return NULL;
}

static void end_of_batch(struct life *lives, pthread_t *threads)
{
    for (unsigned i = 0; i < BATCH; i++) {
        if (lives[i].kind == CANCELLED) {
            while (!atomic_load_explicit(&lives[i].settled, memory_order_acquire))
                sched_yield();
            pthread_cancel(threads[i]);
        }
        if (lives[i].kind != DETACHED)
            pthread_join(threads[i], NULL);
        while (!atomic_load_explicit(&lives[i].gone, memory_order_acquire))
            sched_yield();
    }
}

static void *manager_thread(void *arg)
{
    struct manager *m = arg;
    struct run *r = m->common->run;
    struct worker *w = worker_begin(r, "manager", m->index);
    pthread_t threads[BATCH];
    struct life *lives = load_books(BATCH, sizeof *lives);

    for (uint64_t round = 0; !load_over(r); round++) {
        for (unsigned i = 0; i < BATCH; i++) {
            lives[i] = (struct life){ .common = m->common,
                                      .kind = rng_below(&w->rng, KINDS),
                                      .index = (m->index + round * 64 + 1) * 64 + i };
            threads[i] = load_thread_start(life_thread, &lives[i]);
            if (lives[i].kind == DETACHED)
                pthread_detach(threads[i]);
            atomic_fetch_add(&m->common->kinds[lives[i].kind], 1);
        }
        end_of_batch(lives, threads);
        worker_step(w);
        if (atomic_fetch_add(&r->count, BATCH) > m->common->lives_early &&
            atomic_load(&m->common->early) == 0)
            atomic_store(&m->common->early, load_memory_bytes());
    }
    free(lives);
    worker_end(w);
    return NULL;
}

static void judge_growth(struct run *r, const struct common *common, uint64_t lives)
{
    size_t early = atomic_load(&common->early);
    size_t late = load_memory_bytes();
    struct hak_stats stats;

    load_note(r, ", %llu lives (%llu returned, %llu exited, %llu detached, %llu cancelled)",
              (unsigned long long)lives, (unsigned long long)atomic_load(&common->kinds[RETURNS]),
              (unsigned long long)atomic_load(&common->kinds[EXITS]),
              (unsigned long long)atomic_load(&common->kinds[DETACHED]),
              (unsigned long long)atomic_load(&common->kinds[CANCELLED]));
    if (!LOAD_PEER) {
        hak_get_stats(&stats);
        load_note(r, ", %llu heaps", (unsigned long long)stats.heaps);
        // Detached lives may still be in their exit hooks when the next batch starts.
        if (r->alone && stats.heaps > (uint64_t)r->threads * (2 * BATCH + 1) + 16)
            load_fail(NULL, "%llu heaps were made for at most %u threads at a time",
                      (unsigned long long)stats.heaps, r->threads * (BATCH + 1));
    }
    if (r->alone && lives >= LIVES_JUDGED) {
        load_note(r, ", %s %zu KiB after %llu lives, %zu KiB at the end", LOAD_MEMORY, early / KIB,
                  (unsigned long long)common->lives_early, late / KIB);
        if (LOAD_MEMORY_JUDGED && late > early + GROWTH_MAX)
            load_fail(NULL, "%s grew from %zu to %zu KiB", LOAD_MEMORY, early / KIB, late / KIB);
    }
}

static void threads(struct run *r)
{
    struct common *common = load_books(1, sizeof *common);
    struct manager *managers = load_books(r->threads, sizeof *managers);
    struct block first;
    struct worker *w;
    unsigned threads_before = load_count_threads();

    common->run = r;
    common->lives_early = (r->count_max > LIVES_JUDGED ? r->count_max : LIVES_JUDGED) / 10;
    pthread_mutex_init(&common->nest.lock, NULL);
    // The allocator starts, and has its key, before ours: of one round its destructor is the
    // first.
    w = worker_begin(r, "threads-main", 0xfffe);
    block_take(w, &first, 1);
    block_give(w, &first);
    worker_end(w);
    if (pthread_key_create(&common->key, at_thread_end) != 0)
        load_fail(NULL, "pthread_key_create failed");
    for (unsigned i = 0; i < r->threads; i++)
        managers[i] = (struct manager){ common, i };
    load_threads_run(r->threads, manager_thread, managers, sizeof *managers);
    if (r->alone)
        load_wait_threads(threads_before);
    judge_growth(r, common, atomic_load(&r->count));
    w = worker_begin(r, "threads-main", 0xffff);
    tidy_nest(&common->nest, w, NEST_BLOCKS);
    worker_end(w);
    pthread_key_delete(common->key);
    pthread_mutex_destroy(&common->nest.lock);
    free(managers);
    free(common);
}

const struct load load_threads = {
    .name = "threads",
    .help = "thousands of short lives: joined, detached, cancelled, with destructors that allocate",
    .arguments = "",
    .threads = 4,
    .run = threads,
};

// fork: processes split at random moments while all threads are busy in the allocator.
//
// Busy threads take and free blocks of all tiers and leave some to each other. Forkers fork at
// random moments; each child checks the blocks its thread held, frees them, allocates hard, forks
// again (the grandchild does the same), starts a thread of its own, or starts this program anew.
//
// Catches: locks that are held in the child, heaps of vanished threads in the middle of a change,
// remote frees that nobody takes, an exit hook or a fork handler that deadlocks, handlers that
// run in the wrong order.
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BUSY_BLOCKS LOAD_BUDGET(512u)
#define FORKER_BLOCKS 128u
#define CHILD_BLOCKS 256u
#define CHILD_STEPS 400u
#define SHARED_BLOCKS 256u
#define DEPTH_MAX 2

struct common {
    struct run *run;
    pthread_mutex_t lock;
    struct block shared[SHARED_BLOCKS]; // guarded by lock: blocks on their way to another thread
    _Atomic bool stop;
    _Atomic uint64_t slowest_ns; // of the calls of fork
};

struct member {
    struct common *common;
    unsigned index;
};

// Replaces random blocks of the array, of all tiers.
static void churn(struct worker *w, struct block *blocks, size_t n, size_t steps)
{
    for (size_t i = 0; i < steps; i++) {
        struct block *b = &blocks[rng_below(&w->rng, n)];
        uint64_t kind = rng_below(&w->rng, 16);

        if (!LOAD_PEER && rng_below(&w->rng, 64) == 0) {
            struct hak_stats stats;

            hak_get_stats(&stats); // whatever it locks must be free in a child
        }
        if (b->p == NULL && kind == 0)
            block_take_zeroed(w, b, block_common_size(&w->rng));
        else if (b->p == NULL)
            block_take(w, b, block_common_size(&w->rng));
        else if (kind == 0)
            block_resize(w, b, block_common_size(&w->rng));
        else
            block_give(w, b);
    }
}

static void give_all(struct worker *w, struct block *blocks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (blocks[i].p != NULL)
            block_give(w, &blocks[i]);
    }
}

static void swap_with_shared(struct common *common, struct worker *w, struct block *b)
{
    size_t i = rng_below(&w->rng, SHARED_BLOCKS);
    struct block other;

    pthread_mutex_lock(&common->lock);
    other = common->shared[i];
    common->shared[i] = *b;
    *b = other;
    pthread_mutex_unlock(&common->lock);
}

static void *busy_thread(void *arg)
{
    struct member *m = arg;
    struct worker *w = worker_begin(m->common->run, "busy", m->index);
    struct block *blocks = load_books(BUSY_BLOCKS, sizeof *blocks);

    while (!atomic_load_explicit(&m->common->stop, memory_order_relaxed)) {
        churn(w, blocks, BUSY_BLOCKS, 16);
        // Three of four rest now and then, so that the forks and the children get their share.
        if (m->index % 4 != 0 && rng_below(&w->rng, 4) == 0)
            nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
        for (int i = 0; i < 4; i++)
            swap_with_shared(m->common, w, &blocks[rng_below(&w->rng, BUSY_BLOCKS)]);
    }
    give_all(w, blocks, BUSY_BLOCKS);
    free(blocks);
    worker_end(w);
    return NULL;
}

static void wait_for_child(const struct worker *w, pid_t pid, const char *who)
{
    int status = load_wait(pid, who);

    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        load_fail(w, "%s ended with status %#x (signal %d)", who, status, WTERMSIG(status));
}

static void *childs_thread(void *arg)
{
    struct worker *w = arg;
    struct block blocks[32] = { { 0 } };

    churn(w, blocks, 32, 200);
    give_all(w, blocks, 32);
    return NULL;
}

// The rest of a child's life. `w` and `blocks` are what the forking thread held; of the other
// threads and of the C library's locks the child knows nothing, so it uses neither stdio nor
// malloc.
static _Noreturn void child(struct worker *w, struct block *blocks, size_t n)
{
    struct block mine[CHILD_BLOCKS] = { { 0 } };

    for (int depth = 0; depth <= DEPTH_MAX; depth++) {
        pid_t pid = -1;

        w->rng.state ^= 0x9e3779b97f4a7c15u; // not what the parent does next
        give_all(w, blocks, n / 2);
        churn(w, mine, CHILD_BLOCKS, CHILD_STEPS);
        blocks += n / 2;
        n -= n / 2;
        if (rng_below(&w->rng, 2) == 0)
            pid = fork();
        if (pid > 0)
            wait_for_child(w, pid, "a grandchild");
        if (pid != 0)
            break; // only the new child goes on, with all that it inherited
    }
    // Sanitizers hold locks of their own over thread creation, and do not free them in the child.
    if (!LOAD_SANITIZER && rng_below(&w->rng, 4) == 0)
        pthread_join(load_thread_start(childs_thread, w), NULL);
    if (rng_below(&w->rng, 32) == 0) {
        char seed[LOAD_SEED_TEXT_BYTES];
        char *argv[] = { (char *)"stress",
                         (char *)"fork",
                         (char *)"--role",
                         (char *)"fresh",
                         (char *)"--seed",
                         load_seed_text(rng_next(&w->rng), seed),
                         NULL };

        execv(load_self(), argv);
        _exit(98);
    }
    give_all(w, mine, CHILD_BLOCKS);
    _exit(0);
}

static void keep_slowest(struct common *common, uint64_t ns)
{
    uint64_t slowest = atomic_load(&common->slowest_ns);

    while (ns > slowest && !atomic_compare_exchange_weak(&common->slowest_ns, &slowest, ns))
        continue;
}

static void *forker_thread(void *arg)
{
    struct member *m = arg;
    struct common *common = m->common;
    struct run *r = common->run;
    struct worker *w = worker_begin(r, "forker", m->index);
    struct block blocks[FORKER_BLOCKS] = { { 0 } };

    while (!load_over(r)) {
        uint64_t start;
        pid_t pid;

        churn(w, blocks, FORKER_BLOCKS, rng_below(&w->rng, 200));
        worker_op(w, "fork");
        start = load_now_ns();
        pid = fork();
        if (pid > 0)
            keep_slowest(common, load_now_ns() - start);
        if (pid == 0) {
            worker_op(w, NULL);
            child(w, blocks, FORKER_BLOCKS);
        }
        if (pid < 0 && errno != EAGAIN)
            load_fail(w, "fork: %s", strerror(errno));
        if (pid > 0) {
            worker_op(w, NULL); // load_wait watches
            wait_for_child(w, pid, "a child");
            atomic_fetch_add(&r->count, 1);
        }
        worker_op(w, NULL);
        worker_step(w);
    }
    give_all(w, blocks, FORKER_BLOCKS);
    worker_end(w);
    return NULL;
}

static void fork_load(struct run *r)
{
    struct common *common = load_books(1, sizeof *common);
    unsigned forkers = r->threads < 4 ? 1 : r->threads / 4;
    struct member *members = load_books(r->threads + forkers, sizeof *members);
    pthread_t *busy = load_books(r->threads, sizeof *busy);
    struct worker *w;

    common->run = r;
    pthread_mutex_init(&common->lock, NULL);
    for (unsigned i = 0; i < r->threads + forkers; i++)
        members[i] = (struct member){ common, i };
    for (unsigned i = 0; i < r->threads; i++)
        busy[i] = load_thread_start(busy_thread, &members[i]);
    load_threads_run(forkers, forker_thread, members + r->threads, sizeof *members);
    atomic_store(&common->stop, true);
    for (unsigned i = 0; i < r->threads; i++)
        pthread_join(busy[i], NULL);
    w = worker_begin(r, "fork-main", 0xffff);
    give_all(w, common->shared, SHARED_BLOCKS);
    worker_end(w);
    load_note(r, ", %llu forks by %u threads, the slowest %.0f ms",
              (unsigned long long)atomic_load(&r->count), forkers,
              (double)atomic_load(&common->slowest_ns) / 1e6);
    pthread_mutex_destroy(&common->lock);
    free(busy);
    free(members);
    free(common);
}

// What a child becomes after exec: a fresh process that allocates.
static int fork_role(struct run *r, const char *text)
{
    struct block blocks[64] = { { 0 } };
    struct worker *w;

    if (strcmp(text, "fresh") != 0)
        load_fail(NULL, "fork has no role \"%s\"", text);
    w = worker_begin(r, "fresh", 0);
    churn(w, blocks, 64, 1000);
    give_all(w, blocks, 64);
    worker_end(w);
    load_audit("in the new program", 0);
    return 0;
}

const struct load load_fork = {
    .name = "fork",
    .help = "forks at random moments from busy threads; children allocate, fork again, exec",
    .arguments = "",
    .threads = 16,
    .run = fork_load,
    .role = fork_role,
};

// oom: memory runs out, in every way it can.
//
//   injected   calls of the os seam fail at random (each one to one in 500) while threads use all
//              tiers, trim, end and begin; then failures cease: all contents are intact, nothing
//              is lost, everything can be had again. --count 10000: until so many calls have
//              failed, of those rounds in which at most one in three does.
//   limits     a new process under RLIMIT_AS (address space) from its start, or under RLIMIT_DATA
//              (what is made writable) lowered in mid-life, fills its memory until NULL and frees
//              it, again and again: it must get as much each time.
//
// Catches: a commit that fails in the middle and leaves a half-made slab, blocks lost on error
// paths, NULL without ENOMEM, a realloc that loses its block, zero guarantees broken by a failed
// decommit, crashes when even metadata cannot be had.
// The limits are left out under sanitizers: their own shadow needs the address space.
#define _GNU_SOURCE
#include "load.h"

#include "inject.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLOTS 256u
#define LIVE_PER_THREAD_MAX (48 * MIB)
#define ROUND_NS 200000000u
#define AFTER_BLOCKS 64u
#define LIMIT_BYTES (384 * MIB)
#define LIMIT_NONE SIZE_MAX
#define LIMIT_SLACK (64 * MIB) // committed before the limit was set, and free
#define LIMIT_BLOCKS_MAX 200000u
#define LIMIT_CYCLES 12
#define NULLS_IN_A_ROW 40

struct member {
    struct run *run;
    uint64_t index;
    uint64_t end_ns;
    uint64_t nulls;
};

static size_t any_size(struct rng *r)
{
    return rng_below(r, 4) == 0 ? rng_log_between(r, 64 * KIB, 8 * MIB) : block_common_size(r);
}

static void churn_once(struct worker *w, struct block *b)
{
    uint64_t kind = rng_below(&w->rng, 64);
    bool trim = rng_below(&w->rng, 2048) == 0;

    if (trim) {
        worker_op(w, "malloc_trim");
        hak_malloc_trim(0);
        worker_op(w, NULL);
    } else if (b->p != NULL &&
               (kind < 24 || atomic_load(&w->live_bytes) > (int64_t)LIVE_PER_THREAD_MAX)) {
        block_give(w, b);
    } else if (b->p != NULL) {
        block_resize(w, b, any_size(&w->rng));
    } else if (kind < 40) {
        block_take(w, b, any_size(&w->rng));
    } else if (kind < 56) {
        block_take_zeroed(w, b, any_size(&w->rng));
    } else {
        size_t align = (size_t)16 << rng_below(&w->rng, 14);

        block_take_aligned(w, b, align, any_size(&w->rng));
    }
}

static void *member_thread(void *arg)
{
    struct member *m = arg;
    struct worker *w = worker_begin(m->run, "oom", m->index);
    struct block blocks[SLOTS] = { { 0 } };

    w->null_allowed = true;
    while (load_now_ns() < m->end_ns)
        churn_once(w, &blocks[rng_below(&w->rng, SLOTS)]);
    for (unsigned i = 0; i < SLOTS; i++) {
        if (blocks[i].p != NULL)
            block_give(w, &blocks[i]);
    }
    m->nulls = w->nulls;
    worker_end(w);
    return NULL;
}

// Without failures everything must be there again.
static void all_is_well(struct run *r, uint64_t round)
{
    struct worker *w = worker_begin(r, "oom-after", round);
    struct block blocks[AFTER_BLOCKS];

    for (unsigned i = 0; i < AFTER_BLOCKS; i++)
        block_take_zeroed(w, &blocks[i], i % 2 == 0 ? block_common_size(&w->rng) : 768 * KIB);
    for (unsigned i = 0; i < AFTER_BLOCKS; i++)
        block_give(w, &blocks[i]);
    worker_end(w);
}

#define RATES 6u
#define RATE_COUNTED 3u // where more fail, little is in use when it does

static void injected(struct run *r)
{
    static const unsigned one_in[RATES] = { 500, 100, 20, 3, 2, 1 };
    struct member *members = load_books(r->threads, sizeof *members);
    unsigned threads_before = load_count_threads();
    uint64_t nulls = 0;

    for (uint64_t round = 0; round < RATES || !load_over(r); round++) {
        uint64_t end = load_now_ns() + ROUND_NS;
        unsigned rate = one_in[round % RATES];
        uint64_t before = inject_count();

        inject_failures(rate, r->seed + round);
        for (unsigned i = 0; i < r->threads; i++)
            members[i] = (struct member){ r, round * 1024 + i, end, 0 };
        load_threads_run(r->threads, member_thread, members, sizeof *members);
        inject_failures(0, 0);
        for (unsigned i = 0; i < r->threads; i++)
            nulls += members[i].nulls;
        load_wait_threads(threads_before);
        load_audit("after injected failures", 0);
        all_is_well(r, round);
        if (rate >= RATE_COUNTED)
            atomic_fetch_add(&r->count, inject_count() - before);
    }
    load_note(
        r,
        ", %llu calls of the system failed, of them %llu at most one in %u, %llu requests got "
        "NULL",
        (unsigned long long)inject_count(), (unsigned long long)atomic_load(&r->count),
        RATE_COUNTED, (unsigned long long)nulls);
    if (inject_count() == 0)
        load_fail(NULL, "no failure was injected");
    free(members);
}

// ---- under a limit of the process ----

// Takes blocks until many requests in a row fail; returns the bytes it has got.
static size_t fill(struct worker *w, struct block *blocks, size_t *n)
{
    size_t bytes = 0;
    unsigned row = 0;

    while (row < NULLS_IN_A_ROW && *n < LIMIT_BLOCKS_MAX) {
        struct block *b = &blocks[*n];
        size_t size = rng_log_between(&w->rng, 1 * KIB, 2 * MIB);

        if (rng_below(&w->rng, 4) == 0 ? block_take_zeroed(w, b, size) : block_take(w, b, size)) {
            bytes += size;
            *n += 1;
            row = 0;
        } else {
            row++;
        }
    }
    return bytes;
}

// Sets the soft limit; the hard one stays, so that the limit can be lifted again.
static void set_limit(int resource, size_t bytes)
{
    struct rlimit limit;

    if (getrlimit((__rlimit_resource_t)resource, &limit) != 0)
        load_fail(NULL, "getrlimit: %s", strerror(errno));
    limit.rlim_cur = bytes == LIMIT_NONE ? limit.rlim_max : bytes;
    if (setrlimit((__rlimit_resource_t)resource, &limit) != 0)
        load_fail(NULL, "setrlimit: %s", strerror(errno));
}

// What RLIMIT_DATA counts, roughly: private writable mappings, and the stack.
static size_t data_in_use(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    if (f == NULL || fscanf(f, "%*u %*u %*u %*u %*u %lu", &pages) != 1)
        load_fail(NULL, "cannot read /proc/self/statm");
    fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

// The audit needs memory of its own: it runs with the limit lifted.
static void exhaust(struct worker *w, int resource, size_t limit)
{
    struct block *blocks = load_books(LIMIT_BLOCKS_MAX, sizeof *blocks);
    size_t first = 0;

    w->null_allowed = true;
    for (int cycle = 0; cycle < LIMIT_CYCLES; cycle++) {
        size_t n = 0;
        size_t bytes = fill(w, blocks, &n);

        for (size_t i = 0; i < n; i += 3)
            block_resize(w, &blocks[i], rng_log_between(&w->rng, 1 * KIB, 2 * MIB));
        for (size_t i = 0; i < n; i++)
            block_give(w, &blocks[i]);
        if (w->nulls == 0 || bytes > LIMIT_BYTES + LIMIT_SLACK)
            load_fail(w, "%zu bytes were to be had under a limit of %zu", bytes,
                      (size_t)LIMIT_BYTES);
        set_limit(resource, LIMIT_NONE);
        load_audit("after exhaustion", 0);
        set_limit(resource, limit);
        if (cycle == 0)
            first = bytes;
        if (bytes < first / 4 * 3)
            load_fail(w, "cycle %d got %zu KiB, the first one %zu KiB", cycle, bytes / KIB,
                      first / KIB);
    }
    dprintf(STDERR_FILENO, "  %s of %zu MiB: %zu MiB were to be had, %llu requests got NULL\n",
            w->name, LIMIT_BYTES / MIB, first / MIB, (unsigned long long)w->nulls);
    free(blocks);
}

static int oom_role(struct run *r, const char *text)
{
    struct worker *w;

    watch_catch();
    if (strcmp(text, "address-space") == 0) {
        char seed[LOAD_SEED_TEXT_BYTES];
        char *argv[] = { (char *)"stress",
                         (char *)"oom",
                         (char *)"--role",
                         (char *)"exhaust",
                         (char *)"--seed",
                         load_seed_text(r->seed, seed),
                         NULL };

        set_limit(RLIMIT_AS, LIMIT_BYTES);
        execv(load_self(), argv);
        load_fail(NULL, "execv: %s", strerror(errno));
    }
    if (strcmp(text, "exhaust") != 0 && strcmp(text, "data") != 0)
        load_fail(NULL, "oom has no role \"%s\"", text);
    if (strcmp(text, "data") == 0) {
        size_t limit;

        w = worker_begin(r, "RLIMIT_DATA", 0);
        all_is_well(r, 0);
        limit = data_in_use() + LIMIT_BYTES;
        set_limit(RLIMIT_DATA, limit);
        exhaust(w, RLIMIT_DATA, limit);
    } else {
        w = worker_begin(r, "RLIMIT_AS", 0);
        exhaust(w, RLIMIT_AS, LIMIT_BYTES);
    }
    worker_end(w);
    return 0;
}

static void oom(struct run *r)
{
    static const char *const roles[] = { "address-space", "data" };

    for (size_t i = 0; i < sizeof roles / sizeof roles[0] && !LOAD_SANITIZER; i++) {
        int status = load_spawn_role(r, "oom", roles[i]);

        if (status != 0)
            load_fail(NULL, "`stress oom --role %s` ended with status %#x", roles[i], status);
    }
    if (LOAD_SANITIZER)
        load_note(r, ", limits of the process left out under a sanitizer");
    load_clock_start(r);
    if (LOAD_PEER)
        load_note(r, ", nothing to inject into a peer");
    else
        injected(r);
}

const struct load load_oom = {
    .name = "oom",
    .help = "memory runs out: injected failures of the system, RLIMIT_AS and RLIMIT_DATA",
    .arguments = "",
    .threads = 8,
    .run = oom,
    .role = oom_role,
};

// oom: memory runs out, in every way it can.
//
//   injected   calls of the os seam fail at random (one in 500 to each) while threads use all
//              tiers, trim, end and begin; then failures cease: all contents are intact, nothing
//              is lost, everything can be had again. Each round once in this process, whose heap
//              is warm, and once in a new one, which has everything to ask for.
//              --count 10000: until so many calls have failed, of rounds in which not all do.
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
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLOTS 256u
#define LIVE_PER_THREAD_MAX (48 * MIB)
#define ROUND_NS 200000000u
#define FRESH_STEPS 300u
#define SET_UP_ONE_IN 20u
#define RATES 6u
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
    uint64_t end_ns; // or, if not 0:
    unsigned steps;
    uint64_t nulls;
};

struct totals {
    uint64_t failures, nulls;
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
    for (unsigned i = 0; m->steps != 0 ? i < m->steps : load_now_ns() < m->end_ns; i++)
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

// A round of failures, in which every thread makes so many steps (0: for a while).
static void fail_for_a_round(struct run *r, uint64_t round, unsigned one_in, unsigned steps,
                             struct totals *totals)
{
    struct member *members = load_books(r->threads, sizeof *members);
    unsigned threads_before = load_count_threads();
    uint64_t before = inject_count();

    inject_failures(one_in, r->seed + round);
    for (unsigned i = 0; i < r->threads; i++)
        members[i] = (struct member){ r, round * 1024 + i, load_now_ns() + ROUND_NS, steps, 0 };
    load_threads_run(r->threads, member_thread, members, sizeof *members);
    inject_failures(0, 0);
    for (unsigned i = 0; i < r->threads; i++)
        totals->nulls += members[i].nulls;
    totals->failures += inject_count() - before;
    free(members);
    load_wait_threads(threads_before);
    load_audit("after injected failures", 0);
    all_is_well(r, round);
}

// The same in a process that begins with failures: `--role fresh/ONE-IN/FILE`. Its figures go to
// the descriptor FILE, if there is such a one.
static int fresh_role(struct run *r, unsigned one_in, int file)
{
    struct totals totals = { 0, 0 };

    r->threads = r->load->threads;
    // Each failure of the set-up halves the arena, for good: where they are many, it comes before.
    if (one_in < SET_UP_ONE_IN)
        hak_free(hak_malloc(1));
    inject_failures(one_in, r->seed);
    watch_start(r);
    fail_for_a_round(r, 0, one_in, FRESH_STEPS, &totals);
    watch_end();
    if (file >= 0 && write(file, &totals, sizeof totals) != sizeof totals)
        load_fail(NULL, "cannot hand on the figures: %s", strerror(errno));
    return 0;
}

static void fail_in_new_process(struct run *r, uint64_t round, unsigned one_in, int file,
                                struct totals *totals)
{
    struct run part = { .load = r->load, .seed = r->seed + round };
    struct totals found;
    char role[48];
    int status;

    snprintf(role, sizeof role, "fresh/%u/%d", one_in, file);
    if (ftruncate(file, 0) != 0 || lseek(file, 0, SEEK_SET) != 0)
        load_fail(NULL, "cannot empty the file of figures: %s", strerror(errno));
    status = load_spawn_role(&part, "oom", role);
    if (status != 0)
        load_fail(NULL, "`stress oom --role fresh/%u/-1 --seed %llu` ended with status %#x", one_in,
                  (unsigned long long)part.seed, status);
    if (pread(file, &found, sizeof found, 0) != sizeof found)
        load_fail(NULL, "the new process left no figures");
    totals->failures += found.failures;
    totals->nulls += found.nulls;
}

static void injected(struct run *r)
{
    static const unsigned one_in[RATES] = { 500, 100, 20, 3, 2, 1 };
    struct totals all = { 0, 0 };
    struct totals fresh = { 0, 0 };
    int file = memfd_create("figures", 0);

    if (file < 0)
        load_fail(NULL, "memfd_create: %s", strerror(errno));
    for (uint64_t round = 0; round < RATES || !load_over(r); round++) {
        unsigned rate = one_in[round % RATES];
        uint64_t before = all.failures + fresh.failures;

        fail_for_a_round(r, round, rate, 0, &all);
        fail_in_new_process(r, round, rate, file, &fresh);
        if (rate > 1)
            atomic_fetch_add(&r->count, all.failures + fresh.failures - before);
    }
    close(file);
    load_note(
        r, ", %llu calls of the system failed (%llu where not all did), %llu requests got NULL",
        (unsigned long long)(all.failures + fresh.failures),
        (unsigned long long)atomic_load(&r->count), (unsigned long long)(all.nulls + fresh.nulls));
    if (all.failures == 0 || fresh.failures == 0 || fresh.nulls == 0)
        load_fail(NULL, "%llu failures here, %llu in new processes, which got NULL %llu times",
                  (unsigned long long)all.failures, (unsigned long long)fresh.failures,
                  (unsigned long long)fresh.nulls);
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
    unsigned one_in;
    int file;

    watch_catch();
    if (!LOAD_PEER && sscanf(text, "fresh/%u/%d", &one_in, &file) == 2)
        return fresh_role(r, one_in, file);
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

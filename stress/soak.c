// soak: everything mixed, for hours, with samples of memory and speed.
//
// A round runs three loads at a time in this process, drawn at random, with random numbers of
// threads, then a moment of silence: all threads have ended, the heap is audited, nothing is live.
// Every few rounds the loads that need a process of their own (oom, purge, calls, frag) run in one.
// With --csv FILE a sampler writes one line per interval; scripts/stress plots it.
//
// Catches: what a single load cannot: memory that creeps up over hours, tiers that disturb each
// other, throughput that decays, forks in the middle of everything.
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#define TOGETHER 3u
#define ROUND_SECONDS 10.0
#define OWN_PROCESS_EVERY 3u
#define OWN_PROCESS_SECONDS 5
#define CREEP_MAX (96 * MIB)
#define CREEP_ROUNDS_MIN 6u

static const struct load *const mixed[] = {
    &load_larson,  &load_xfree, &load_threads, &load_fork,
    &load_realloc, &load_align, &load_huge,    &load_reuse
};
#define MIXED (sizeof mixed / sizeof mixed[0])
static const char *const alone[] = { "oom", "purge", "calls", "frag" };
#define ALONE (sizeof alone / sizeof alone[0])

struct sampler {
    struct run *run;
    FILE *csv;
    _Atomic bool stop;
    _Atomic unsigned round;
    struct run parts[TOGETHER];
};

static void sample(struct sampler *s, uint64_t start)
{
    struct rusage usage;
    struct hak_stats stats = { 0 };
    uint64_t ops = watch_ops() + atomic_load(&s->run->ops);

    for (unsigned i = 0; i < TOGETHER; i++)
        ops += atomic_load(&s->parts[i].ops);
    getrusage(RUSAGE_SELF, &usage);
    if (!LOAD_PEER)
        hak_get_stats(&stats);
    fprintf(s->csv, "%.1f,%u,%zu,%lld,%llu,%ld,%ld,%llu,%llu,%llu,%llu\n",
            (double)(load_now_ns() - start) / 1e9, atomic_load(&s->round), load_rss_bytes(),
            (long long)watch_live(), (unsigned long long)ops, usage.ru_minflt, usage.ru_majflt,
            (unsigned long long)stats.committed_bytes, (unsigned long long)stats.metadata_bytes,
            (unsigned long long)stats.superslabs, (unsigned long long)stats.heaps);
    if (fflush(s->csv) != 0)
        load_fail(NULL, "cannot write the samples: %s", strerror(errno));
}

static void *sampler_thread(void *arg)
{
    struct sampler *s = arg;
    uint64_t start = load_now_ns();
    // About a thousand samples, at most one each second.
    double interval = s->run->seconds / 1000 > 1 ? s->run->seconds / 1000 : 1;
    uint64_t next = start;

    fprintf(s->csv, "seconds,round,rss_bytes,live_bytes,calls,minor_faults,major_faults,"
                    "committed_bytes,metadata_bytes,superslabs,heaps\n");
    while (!atomic_load(&s->stop)) {
        nanosleep(&(struct timespec){ 0, 50000000 }, NULL);
        if (load_now_ns() >= next) {
            sample(s, start);
            next += (uint64_t)(interval * 1e9);
        }
    }
    sample(s, start);
    fclose(s->csv);
    return NULL;
}

static void *part_thread(void *arg)
{
    struct run *part = arg;

    part->load->run(part);
    return NULL;
}

// A load of the mixture: of those named on the command line, or of all.
static const struct load *draw(struct run *r, struct rng *rng)
{
    const char *name;

    if (r->argc == 0)
        return mixed[rng_below(rng, MIXED)];
    name = r->argv[rng_below(rng, (uint64_t)r->argc)];
    for (size_t i = 0; i < MIXED; i++) {
        if (strcmp(mixed[i]->name, name) == 0)
            return mixed[i];
    }
    fprintf(stderr, "stress soak: \"%s\" is no load that can be mixed\n", name);
    exit(2);
}

static void round_together(struct run *r, struct sampler *s, struct rng *rng, double seconds)
{
    for (unsigned i = 0; i < TOGETHER; i++) {
        struct run *part = &s->parts[i];

        memset(part, 0, sizeof *part);
        part->load = draw(r, rng);
        part->threads = (unsigned)rng_between(rng, 2, r->threads < 2 ? 2 : r->threads);
        part->seconds = seconds;
        part->seed = rng_next(rng);
        load_clock_start(part);
    }
    fprintf(stderr, "  round %u: %s (%u), %s (%u), %s (%u)\n", atomic_load(&s->round),
            s->parts[0].load->name, s->parts[0].threads, s->parts[1].load->name,
            s->parts[1].threads, s->parts[2].load->name, s->parts[2].threads);
    load_threads_run(TOGETHER, part_thread, s->parts, sizeof s->parts[0]);
    for (unsigned i = 0; i < TOGETHER; i++)
        atomic_fetch_add(&r->ops, atomic_exchange(&s->parts[i].ops, 0));
}

static void round_in_own_process(const char *name, struct rng *rng)
{
    char seconds[16], stall[32], seed[LOAD_SEED_TEXT_BYTES];
    char *argv[] = { (char *)"stress",
                     (char *)name,
                     (char *)"--seconds",
                     seconds,
                     (char *)"--stall",
                     stall,
                     (char *)"--seed",
                     load_seed_text(rng_next(rng), seed),
                     NULL };
    int status;

    snprintf(seconds, sizeof seconds, "%d", OWN_PROCESS_SECONDS);
    snprintf(stall, sizeof stall, "%.0f", watch.stall_seconds);
    status = load_spawn(argv);
    if (status != 0)
        load_fail(NULL, "`stress %s` ended with status %#x", name, status);
}

// Memory in the silence after a round may not creep up.
static void judge(unsigned rounds, size_t *warm)
{
    size_t now;

    if (!LOAD_MEMORY_JUDGED)
        return;
    hak_malloc_trim(0);
    now = load_memory_bytes();
    if (rounds == CREEP_ROUNDS_MIN)
        *warm = now;
    if (rounds > CREEP_ROUNDS_MIN && now > *warm + CREEP_MAX)
        load_fail(NULL, "round %u: %s in the silence is %zu MiB; it was %zu MiB in round %u",
                  rounds, LOAD_MEMORY, now / MIB, *warm / MIB, CREEP_ROUNDS_MIN);
}

static void soak(struct run *r)
{
    struct sampler *s = load_books(1, sizeof *s);
    struct rng rng = { r->seed };
    unsigned threads_before;
    unsigned rounds = 0;
    size_t warm = 0;
    pthread_t sampler = pthread_self();
    double part = r->seconds / 3 < ROUND_SECONDS ? r->seconds / 3 : ROUND_SECONDS;

    s->run = r;
    if (r->csv != NULL) {
        s->csv = fopen(r->csv, "w");
        if (s->csv == NULL)
            load_fail(NULL, "%s: %s", r->csv, strerror(errno));
        sampler = load_thread_start(sampler_thread, s);
    }
    threads_before = load_count_threads();
    for (; !load_over(r); rounds++) {
        atomic_store(&s->round, rounds);
        round_together(r, s, &rng, part);
        load_wait_threads(threads_before);
        load_audit("in the silence", 0);
        judge(rounds, &warm);
        if (r->argc == 0 && rounds % OWN_PROCESS_EVERY == 1)
            round_in_own_process(alone[rounds / OWN_PROCESS_EVERY % ALONE], &rng);
    }
    if (r->csv != NULL) {
        atomic_store(&s->stop, true);
        pthread_join(sampler, NULL);
    }
    load_note(r, ", %u rounds", rounds);
    free(s);
}

const struct load load_soak = {
    .name = "soak",
    .help = "all loads mixed, for hours, with samples as CSV",
    .arguments = "[load ...]: mix these only",
    .threads = 8,
    .run = soak,
};

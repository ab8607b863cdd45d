// counting.c: what statistics say of contention is what happened: in every execution of two threads
// that meet, each retry loop counts the compare-and-swaps of it that failed, and the mutex the
// acquisitions that did not get it at once and those that slept. An execution with contention must
// be among them.
//
// usage: counting      status 1 if a count is wrong, or nothing met
#include <stdio.h>
#include <string.h>

#include <hakmem.h>

#include "explore.h"
#include "foreign.h"
#include "process.h"
#include "remote.h"
#include "retries.h"
#include "scenarios.h"
#include "superslab.h"
#include "system.h"

#include <seam/lock.h>

static void *blocks[2]; // of two slabs of one heap
static struct strategy_search search;
static struct sched_report report;

static void setup(void *arg)
{
    (void)arg;
    system_reset((size_t)4 << 20, NULL);
    process_reset();
    blocks[0] = hak_malloc(512);
    blocks[1] = hak_malloc(1024);
}

static void claim(void *arg, uint32_t t)
{
    struct run r;
    (void)arg, (void)t;
    hak_superslab_claim(0, 1, 1, false, &r);
}

static void claim_at(void *arg, uint32_t t)
{
    struct run r;
    (void)arg;
    hak_superslab_claim_at(SUPERSLAB_UNITS - 1 - t, 1, &r);
}

static void push(void *arg, uint32_t t)
{
    (void)arg;
    hak_remote_notify(hak_slab_of_unit(hak_unit_of(blocks[t])));
}

static void count_foreign(void *arg, uint32_t t)
{
    (void)arg, (void)t;
    hak_foreign_count(&report);
}

// Steps of the site (a thread's only, or of any) that failed.
static uint64_t failed_steps(uint32_t site)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < report.trace_count; i++)
        n += report.trace[i].failed && report.trace[i].site->id == site + 1;
    return n;
}

static const struct {
    const char *name;
    uint32_t site;
} loops[] = {
    { "claim_units", SITE_CLAIM_CAS },      { "claim_given_units", SITE_CLAIM_AT_CAS },
    { "inbox_push", SITE_INBOX_PUSH },      { "committed_peak", SITE_COMMITTED_PEAK_CAS },
    { "foreign_site", SITE_FOREIGN_CLAIM },
};
enum { LOOPS = sizeof loops / sizeof loops[0] };

static uint64_t before[LOOPS], met[LOOPS];

static void read_retries(uint64_t out[LOOPS])
{
    struct hak_retry_stats s;
    for (unsigned i = 0; i < LOOPS; i++)
        for (unsigned j = 0; hak_get_retry_stats(j, &s); j++)
            if (strcmp(s.name, loops[i].name) == 0)
                out[i] = s.retries;
}

static const char *check_loops(void)
{
    uint64_t after[LOOPS];
    read_retries(after);
    for (unsigned i = 0; i < LOOPS; i++) {
        uint64_t failed = failed_steps(loops[i].site);
        met[i] += failed;
        if (after[i] - before[i] != failed)
            return loops[i].name;
    }
    return NULL;
}

static uint64_t lock_met, lock_slept;

static const char *check_lock(void)
{
    uint32_t slept = 0; // bit per thread that asked the kernel to let it wait
    uint64_t contended = failed_steps(SITE_LOCK_TRY);
    for (uint32_t i = 0; i < report.trace_count; i++)
        if (report.trace[i].site->id == SITE_LOCK_WAIT + 1 && report.trace[i].old != 0)
            slept |= 1u << report.trace[i].thread;
    lock_met += contended;
    lock_slept += slept != 0;
    if (own_load(&scenario_lock.contended) != contended)
        return "acquisitions of the lock with contention";
    return own_load(&scenario_lock.slept) == (uint64_t)__builtin_popcount(slept)
               ? NULL
               : "acquisitions of the lock that slept";
}

static bool explore(const char *name, uint32_t threads, uint32_t bound, void (*prepare)(void *),
                    void (*body)(void *, uint32_t), const char *(*check)(void))
{
    const struct sched_program program = { .name = name,
                                           .threads = threads,
                                           .body = body,
                                           .steps_max = 2000,
                                           .frozen_thread = SCHED_NOBODY };
    unsigned long long executions = 0;
    strategy_search_init(&search, bound, bound == SEARCH_UNBOUNDED);
    do {
        prepare(NULL);
        read_retries(before);
        enum sched_outcome outcome = sched_run(&program, &search.base, &report);
        if (outcome == SCHED_PRUNED)
            continue;
        executions++;
        const char *wrong = outcome == SCHED_OK ? check() : report.message;
        if (wrong != NULL) {
            printf("%-20s FAIL, after %llu executions: %s\n", name, executions, wrong);
            sched_print_timeline(&program, &report, stdout);
            return false;
        }
    } while (search.base.end(&search.base));
    printf("%-20s %10llu executions, in each what was counted had happened\n", name, executions);
    return true;
}

int main(void)
{
    const struct scenario *lock = &lock_scenarios[0];
    bool ok = explore("claim x claim", 2, SEARCH_UNBOUNDED, setup, claim, check_loops);
    ok &= explore("claim x claim given", 2, SEARCH_UNBOUNDED, setup, claim_at, check_loops);
    ok &= explore("push x push", 2, SEARCH_UNBOUNDED, setup, push, check_loops);
    ok &= explore("foreign x foreign", 2, SEARCH_UNBOUNDED, setup, count_foreign, check_loops);
    ok &= explore(lock->name, lock->threads, lock->bound, lock->setup, lock->body, check_lock);
    for (unsigned i = 0; i < LOOPS; i++)
        if (ok && met[i] == 0) {
            printf("FAIL: in no execution two threads met in %s\n", loops[i].name);
            ok = false;
        }
    if (ok && (lock_met == 0 || lock_slept == 0)) {
        printf("FAIL: in no execution the lock was waited for\n");
        ok = false;
    }
    return !ok;
}

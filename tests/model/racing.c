// racing.c: two threads free the same block of a class at the same moment, with the state of blocks
// (bit 1 of the mitigations) and the quarantine: in every execution one of the two is told of a
// double free within its call of free, before anything is flushed or drained.
//
// usage: racing      status 1 if an execution exists in which both come back
#include <stdio.h>
#include <string.h>

#include <hakmem.h>

#include "config.h"
#include "explore.h"
#include "process.h"
#include "system.h"

_Static_assert(MITIGATE_STATE, "this is what is shown");

static void *block;
static struct strategy_search search;

static void setup(void)
{
    system_reset((size_t)4 << 20, NULL);
    process_reset();
    hak_free(hak_malloc(1024));
    block = hak_malloc(1024); // thread 0's
}

static void owner_and_another(void *arg, uint32_t t)
{
    (void)arg, (void)t;
    hak_free(block);
}

static void two_others(void *arg, uint32_t t)
{
    (void)arg;
    if (t != 0)
        hak_free(block);
}

static bool explore(const char *name, uint32_t threads, uint32_t bound,
                    void (*body)(void *, uint32_t))
{
    const struct sched_program program = { .name = name,
                                           .threads = threads,
                                           .body = body,
                                           .steps_max = 2000,
                                           .frozen_thread = SCHED_NOBODY };
    static struct sched_report report;
    uint64_t executions = 0;
    strategy_search_init(&search, bound, bound == SEARCH_UNBOUNDED);
    do {
        setup();
        enum sched_outcome outcome = sched_run(&program, &search.base, &report);
        if (outcome == SCHED_PRUNED)
            continue;
        executions++;
        if (outcome != SCHED_FAILED || strcmp(report.kind, "fault") != 0 ||
            strncmp(report.message, "hakmem: double free of ", 23) != 0) {
            printf("%-28s FAIL, after %llu executions: %s\n", name, (unsigned long long)executions,
                   outcome == SCHED_OK ? "both came back" : report.message);
            sched_print_timeline(&program, &report, stdout);
            return false;
        }
    } while (search.base.end(&search.base));
    printf("%-28s %10llu executions, in each a double free is told at once\n", name,
           (unsigned long long)executions);
    return true;
}

int main(void)
{
    bool ok = explore("owner x another", 2, SEARCH_UNBOUNDED, owner_and_another);
    ok &= explore("two others", 3, 2, two_others);
    return !ok;
}

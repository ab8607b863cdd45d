// scenarios_ending.c: ends of threads, late frees, forks and their children, a thread that stops.
//
// Failures of the system are not explored here: they are what fuzz_os is for.
#include "scenarios.h"

#include <stdio.h>

#include <hakmem.h>

#include "attach.h"
#include "explore.h"
#include "large.h"
#include "process.h"
#include "system.h"

enum { BLOCKS = 4, LARGE_BYTES = 20000 };

static void *blocks[BLOCKS];
static void *large_block;
static struct slab *large_record;
static uint32_t winners;

static void setup(void *arg)
{
    (void)arg;
    system_reset((size_t)4 << 20, NULL);
    os_fault_pause(true); // failures of the system are fuzz_os's
    process_reset();
    for (unsigned i = 0; i < BLOCKS; i++)
        blocks[i] = hak_malloc(1024);
    winners = 0;
}

// Between one and `live_max` blocks more than `live` are in use.
static const char *audit(uint64_t live, uint64_t live_max)
{
    static char text[200];
    struct hak_audit_report report;
    bool ok = hak_audit(&report);
    if (ok && report.live >= live && report.live <= live_max && report.large == 0)
        return NULL;
    snprintf(text, sizeof text, "audit: %llu live of %llu to %llu, %s",
             (unsigned long long)report.live, (unsigned long long)live,
             (unsigned long long)live_max, report.first_error);
    return text;
}

// ---- forks ----

static void audit_under_the_gate(void)
{
    struct hak_audit_report report;
    hak_before_fork();
    sched_quiet_begin();
    if (!hak_audit(&report))
        sched_fail("check", "at the fork: %s", report.first_error);
    sched_quiet_end();
    hak_after_fork_parent();
}

// Two slow paths of one thread: the second may step back from the closed gate.
static void fork_or_allocate_twice(void *arg, uint32_t t)
{
    (void)arg;
    if (t == 0) {
        audit_under_the_gate();
        return;
    }
    if (hak_malloc(2048) == NULL || hak_malloc(3072) == NULL)
        sched_fail("check", "no memory");
}

static const char *six_live(void *arg)
{
    (void)arg;
    return audit(BLOCKS + 2, BLOCKS + 2);
}

static const char *three_live(void *arg)
{
    (void)arg;
    return audit(BLOCKS - 1, BLOCKS - 1);
}

static void fork_or_fork(void *arg, uint32_t t)
{
    (void)arg, (void)t;
    audit_under_the_gate();
}

static const char *four_live(void *arg)
{
    (void)arg;
    return audit(BLOCKS, BLOCKS);
}

// A thread whose exit hook has run frees once more, as a guest, under a fork.
static void fork_or_late_free(void *arg, uint32_t t)
{
    (void)arg;
    if (t == 0) {
        audit_under_the_gate();
        return;
    }
    process_end_thread();
    hak_free(blocks[0]);
    process_begin_thread();
}

// The child goes on alone, and forks itself; the other thread is gone in the middle of what it did.
static void child_or_free(void *arg, uint32_t t)
{
    (void)arg;
    if (t == 1) {
        hak_free(blocks[0]);
        hak_thread_flush();
        return;
    }
    process_fork(true);
    void *p = hak_malloc(1024);
    if (p == NULL)
        sched_fail("check", "no memory in the child");
    hak_free(p);
    hak_free(blocks[1]);
    hak_thread_flush();
    hak_before_fork(); // waits for nobody
    hak_after_fork_parent();
}

static const char *two_or_three_live(void *arg)
{
    (void)arg;
    return audit(BLOCKS - 2, BLOCKS - 1);
}

// ---- ends of threads ----

// The owner ends and frees a block of its own late, while another frees and ends.
static void late_free_or_exit(void *arg, uint32_t t)
{
    (void)arg;
    if (t == 0) {
        process_end_thread();
        hak_free(blocks[0]);
        process_begin_thread();
        return;
    }
    hak_free(blocks[1]);
    process_exit_thread();
}

static const char *two_live(void *arg)
{
    (void)arg;
    return audit(BLOCKS - 2, BLOCKS - 2);
}

// ---- a large block freed twice, at the same time ----

static void setup_large(void *arg)
{
    setup(arg);
    large_block = hak_malloc(LARGE_BYTES);
    large_record = hak_large_record(large_block);
    if (large_record == NULL)
        sched_fail("harness", "%u bytes are not a large block", LARGE_BYTES);
}

static void free_large(void *arg, uint32_t t)
{
    (void)arg, (void)t;
    struct heap *h = hak_enter();
    winners += hak_large_free(h, large_record);
    hak_leave(h);
}

static const char *one_winner(void *arg)
{
    if (winners != 1)
        return "of two frees of a large block, not one succeeds";
    return four_live(arg);
}

// ---- a thread stops for ever outside of a lock: the other ends all the same ----

static void use_and_exit(void *arg, uint32_t t)
{
    (void)arg;
    hak_free(blocks[t]);
    hak_thread_flush();
    void *p = hak_malloc(2048);
    if (p == NULL)
        sched_fail("check", "no memory");
    hak_free(p);
    process_exit_thread();
}

static const char *no_check(void *arg)
{
    (void)arg;
    return NULL; // what the thread that stopped holds is in no place that an audit knows
}

const struct scenario ending_scenarios[] = {
    { "fork x two slow paths", "closes the gate, audits, opens it; allocates twice", 2,
      SEARCH_UNBOUNDED, setup, fork_or_allocate_twice, six_live, false },
    { "fork x fork", "each closes the gate, audits, opens it", 2, SEARCH_UNBOUNDED, setup,
      fork_or_fork, four_live, false },
    { "fork x late free", "closes the gate, audits, opens it; ends, then frees a block", 2,
      SEARCH_UNBOUNDED, setup, fork_or_late_free, three_live, false },
    // Bounded, not reduced: what thread 1 will not do any more is no event that the fork meets.
    { "child of a fork", "forks, the child allocates, frees, forks; frees and flushes: vanishes", 2,
      4, setup, child_or_free, two_or_three_live, false },
    { "late free x exit", "the owner ends, then frees; another frees and ends", 2, SEARCH_UNBOUNDED,
      setup, late_free_or_exit, two_live, false },
    { "large free x large free", "two threads free one large block: one is told", 2,
      SEARCH_UNBOUNDED, setup_large, free_large, one_winner, false },
    { "frozen x use and exit", "stops anywhere; both free, flush, allocate, free, end", 2, 1, setup,
      use_and_exit, no_check, true },
    { 0 },
};

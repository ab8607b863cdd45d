// scenarios_whole.c: the public functions, from the first call of a process to a fork.
//
// Failures of the system are not explored here: they are what fuzz_os is for.
#include "scenarios.h"

#include <stdio.h>

#include <hakmem.h>
#include <seam/tls.h>

#include "attach.h"
#include "explore.h"
#include "heaps.h"
#include "process.h"
#include "sizeclass.h"
#include "system.h"

enum { BLOCKS = 4, LARGE_UNITS = 15 };

static void *blocks[BLOCKS];

static void setup_whole(void *arg)
{
    (void)arg;
    system_reset((size_t)4 << 20, NULL);
    process_reset();
    for (unsigned i = 0; i < BLOCKS; i++)
        blocks[i] = hak_malloc(1024);
}

static void setup_nothing(void *arg)
{
    (void)arg;
    system_reset((size_t)4 << 20, NULL);
    os_fault_pause(true); // failures of the system are fuzz_os's
    process_reset();
}

// The first two calls of a process, at the same time.
static void first_call(void *arg, uint32_t t)
{
    (void)arg;
    blocks[t] = hak_malloc(1024);
    if (blocks[t] == NULL)
        sched_fail("check", "no memory");
}

static const char *two_live(void *arg);

// The owner ends while two others free its blocks.
static void exit_and_free(void *arg, uint32_t t)
{
    (void)arg;
    if (t != 0) {
        hak_free(blocks[t]);
        hak_thread_flush();
        return;
    }
    hak_free(blocks[0]);
    process_exit_thread();
}

static const char *audit(uint64_t live)
{
    static char text[200];
    struct hak_audit_report report;
    bool ok = hak_audit(&report);
    if (ok && report.live == live)
        return NULL;
    snprintf(text, sizeof text, "audit: %llu live of %llu, %s", (unsigned long long)report.live,
             (unsigned long long)live, report.first_error);
    return text;
}

static const char *two_live(void *arg)
{
    (void)arg;
    return audit(2);
}

static const char *one_live(void *arg)
{
    (void)arg;
    return audit(BLOCKS - 3);
}

static void setup_idle_owner(void *arg)
{
    setup_whole(arg);
    process_exit_thread();
}

// The owner has ended; one thread frees its block while another sweeps its heap.
static void sweep_and_free(void *arg, uint32_t t)
{
    (void)arg;
    if (t == 1) {
        hak_free(blocks[0]);
        hak_thread_flush();
        return;
    }
    struct heap *h = hak_enter();
    hak_heaps_sweep(h, hak_class_of(1024), 1);
    hak_leave(h);
}

static const char *three_live(void *arg)
{
    (void)arg;
    return audit(BLOCKS - 1);
}

// Thread 0 keeps its heap; a second heap, with blocks in use, is idle.
static void setup_idle_heap(void *arg)
{
    setup_whole(arg);
    struct heap *mine = tls_heap();
    tls_set_heap(hak_heaps_borrow());
    hak_free(hak_malloc(1024)); // its cache is flushed when it is given back
    blocks[1] = hak_malloc(1024);
    hak_heaps_return(tls_heap());
    tls_set_heap(mine);
}

// One takes the idle heap's slabs while another frees a block of them.
static void sweep_or_free(void *arg, uint32_t t)
{
    (void)arg;
    if (t == 1) {
        hak_free(blocks[1]);
        hak_thread_flush();
        return;
    }
    struct heap *h = hak_enter();
    hak_heaps_sweep(h, hak_class_of(1024), 1);
    hak_leave(h);
}

// One sweeps the idle heap while another borrows and uses it.
static void sweep_or_borrow(void *arg, uint32_t t)
{
    (void)arg;
    if (t == 1) {
        blocks[2] = hak_malloc(1024);
        return;
    }
    struct heap *h = hak_enter();
    hak_heaps_sweep(h, hak_class_of(1024), 1);
    hak_leave(h);
}

static const char *six_live(void *arg)
{
    (void)arg;
    return audit(BLOCKS + 2);
}

// A fork waits until nobody is on a slow path.
static void fork_and_free(void *arg, uint32_t t)
{
    (void)arg;
    if (t == 1) {
        hak_free(blocks[0]);
        hak_thread_flush();
        return;
    }
    hak_before_fork();
    sched_quiet_begin();
    struct hak_audit_report report;
    if (!hak_audit(&report))
        sched_fail("check", "at the fork: %s", report.first_error);
    sched_quiet_end();
    hak_after_fork_parent();
}

// The SuperSlab is full: the next block begins another, while another thread walks the records.
static void setup_full(void *arg)
{
    setup_whole(arg);
    os_fault_pause(true);
    for (unsigned units = 1; units + LARGE_UNITS <= SUPERSLAB_UNITS; units += LARGE_UNITS)
        if (hak_malloc(LARGE_UNITS * UNIT_SIZE) == NULL)
            sched_fail("harness", "no room in the first SuperSlab");
}

static void begin_or_count(void *arg, uint32_t t)
{
    struct hak_class_stats stats;
    (void)arg;
    if (t == 0 && hak_malloc(LARGE_UNITS * UNIT_SIZE) == NULL)
        sched_fail("check", "no memory");
    else if (t == 1)
        hak_get_class_stats(0, &stats);
}

static const char *all_live(void *arg)
{
    (void)arg;
    return audit(BLOCKS);
}

const struct scenario whole_scenarios[] = {
    { "first call x first call", "allocates; allocates: nothing is set up yet", 2, 2, setup_nothing,
      first_call, two_live, false },
    { "begin x statistics", "allocates, which begins a SuperSlab; walks all records", 2,
      SEARCH_UNBOUNDED, setup_full, begin_or_count, all_live, false },
    { "owner exit x two freers", "ends; two threads free a block of it and flush", 3,
      SEARCH_UNBOUNDED, setup_whole, exit_and_free, one_live, false },
    { "sweep of a dead owner x free", "sweeps the idle heap; frees a block of it and flushes", 2,
      SEARCH_UNBOUNDED, setup_idle_owner, sweep_and_free, three_live, false },
    { "sweep of an idle heap x free", "takes its slabs; frees a block of them and flushes", 2,
      SEARCH_UNBOUNDED, setup_idle_heap, sweep_or_free, all_live, false },
    { "sweep x borrow", "sweeps the idle heap; borrows it and allocates", 2, SEARCH_UNBOUNDED,
      setup_idle_heap, sweep_or_borrow, six_live, false },
    { "fork x free", "closes the gate, audits, opens it; frees a block and flushes", 2,
      SEARCH_UNBOUNDED, setup_whole, fork_and_free, three_live, false },
    { 0 },
};

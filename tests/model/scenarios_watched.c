// scenarios_watched.c: what is looked at while the allocator works: stacks, which are taken once
// the C library is set up for it; the heap profile, which readers take no lock for; reports, of
// which one at a time has the memory that all of them use.
//
// What these publish is plain data. It shows here by what depends on it, and under `make orders`
// by ThreadSanitizer.
#define _GNU_SOURCE 1
#include "scenarios.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <hakmem.h>
#include <seam/signals.h>

#include "explore.h"
#include "process.h"
#include "profile.h"
#include "stacks.h"
#include "system.h"

static void setup_process(const char *options)
{
    system_reset((size_t)4 << 20, options);
    os_fault_pause(true); // failures of the system are fuzz_os's
    process_reset();
    if (hak_malloc(1024) == NULL)
        sched_fail("harness", "no memory");
}

// ---- stacks: one sets up the C library for them, another takes one ----

static void setup_stacks(void *arg)
{
    (void)arg;
    setup_process(NULL);
}

// Fails in fuzz/sched/stack.c.
static void start_or_take(void *arg, uint32_t t)
{
    void *frames[STACK_FRAMES];
    (void)arg;
    if (t == 0)
        hak_stacks_start();
    else
        hak_stacks_take(frames, STACK_FRAMES);
}

static const char *stack_taken(void *arg)
{
    (void)arg;
    return NULL;
}

// ---- the profile: two add samples, one reads what there is ----

enum { SAMPLE_BYTES = 100, FRAMES = 2 };
static char blocks[2], code[3]; // addresses of blocks, return addresses
static void *const taken[2][FRAMES] = { { &code[0], &code[2] }, { &code[1], &code[2] } };

static void setup_profile(void *arg)
{
    (void)arg;
    setup_process("profile=1048576,profile_seed=1"); // the harness's own block is none of them
    if (hak_profile_interval() == 0 || hak_profile_stacks() != 1)
        sched_fail("harness", "no empty profile");
}

// As pprof.c reads: stacks, then the locations that they are made of.
static void read_profile(void)
{
    uint32_t frames[PROFILE_FRAMES];
    for (uint32_t i = 1, count = hak_profile_stacks(); i < count; i++) {
        uint32_t n = hak_profile_frames(i, frames);
        if (n != FRAMES)
            sched_fail("check", "stack %u has %u frames", i, n);
        uint32_t known = hak_profile_locations();
        for (uint32_t f = 0; f < n; f++) {
            if (frames[f] >= known)
                sched_fail("check", "stack %u has location %u of %u", i, frames[f], known);
            const void *at = hak_profile_location(frames[f]);
            if (at != taken[0][f] && at != taken[1][f])
                sched_fail("check", "location %u is %p", frames[f], at);
        }
    }
}

static void add_or_read(void *arg, uint32_t t)
{
    (void)arg;
    if (t == 2)
        read_profile();
    else if (!hak_profile_add(&blocks[t], SAMPLE_BYTES, taken[t], FRAMES, t))
        sched_fail("check", "no room for a sample");
}

static const char *both_sampled(void *arg)
{
    (void)arg;
    if (hak_profile_stacks() != 3 || hak_profile_locations() != 3)
        return "a stack or a location is there twice, or not";
    for (uint32_t i = 1; i < 3; i++) {
        struct profile_sums sums;
        hak_profile_read(i, &sums);
        if (!(sums.allocated.bytes >= SAMPLE_BYTES))
            return "a sample is not in the sum of its stack";
    }
    read_profile();
    return NULL;
}

// ---- reports: two threads are asked at once ----

enum { REPORT_BYTES_MAX = 64 << 10 };
static int answer = -1; // a file in memory
static size_t report_bytes;
static char report[REPORT_BYTES_MAX];

static size_t answered(char *out, size_t bytes_max)
{
    ssize_t n = pread(answer, out, bytes_max, 0);
    if (n < 0)
        sched_fail("harness", "cannot read what was reported");
    return (size_t)n;
}

// What is reported is the same each time: nobody allocates.
static void setup_report(void *arg)
{
    (void)arg;
    setup_process(NULL);
    if (answer < 0)
        answer = memfd_create("report", MFD_CLOEXEC);
    if (answer < 0 || ftruncate(answer, 0) != 0 || lseek(answer, 0, SEEK_SET) != 0)
        sched_fail("harness", "no file for reports");
    hak_on_signal(answer, 0);
    report_bytes = answered(report, sizeof report);
    if (report_bytes == 0 || report_bytes == sizeof report)
        sched_fail("harness", "a report of %zu bytes", report_bytes);
}

static void be_asked(void *arg, uint32_t t)
{
    (void)arg, (void)t;
    hak_on_signal(answer, 0);
}

// One that came meanwhile was dropped; later ones are not.
static const char *reports_whole(void *arg)
{
    static char text[5 * sizeof report];
    (void)arg;
    hak_on_signal(answer, 0);
    size_t bytes = answered(text, sizeof text), count = bytes / report_bytes;
    if (bytes % report_bytes != 0)
        return "a report is cut short, or another one is in it";
    for (size_t i = 0; i < count; i++)
        if (memcmp(text + i * report_bytes, report, report_bytes) != 0)
            return "a report has another one's text in it";
    return count >= 3 && count <= 4 ? NULL : "nobody was answered";
}

const struct scenario watched_scenarios[] = {
    { "set-up of stacks x stack", "sets the C library up for stacks; takes one", 2,
      SEARCH_UNBOUNDED, setup_stacks, start_or_take, stack_taken, false },
    { "samples x profile read", "two add a sample; reads stacks and their locations", 3,
      SEARCH_UNBOUNDED, setup_profile, add_or_read, both_sampled, false },
    { "report x report", "two are asked for statistics by a signal at once", 2, SEARCH_UNBOUNDED,
      setup_report, be_asked, reports_whole, false },
    { 0 },
};

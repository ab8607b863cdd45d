// peak.c: does memory come back after a peak? Keeps --live-mb of blocks, allocates --peak-mb more,
// frees those, waits, does a little work (an allocator without a thread of its own gives memory
// back in a slow path) and reads the resident size: {"live_kb","peak_kb","after_kb"}.
#define _GNU_SOURCE
#include "bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static uint64_t live_mb = 16, peak_mb = 256, min_bytes = 16, max_bytes = 1040, threads = 1;
static uint64_t wait_ms = 300, work_blocks = 20000, seed = 1;

static const struct bench_option options[] = {
    { "live-mb", &live_mb, 0, 1 << 20, "of blocks that stay" },
    { "peak-mb", &peak_mb, 1, 1 << 20, "of blocks that are freed again" },
    { "min", &min_bytes, 16, 1 << 30, "smallest block, bytes" },
    { "max", &max_bytes, 16, 1 << 30, "largest block, bytes" },
    { "threads", &threads, 1, 64, "that share the peak, and end after it" },
    { "wait", &wait_ms, 0, 100000, "milliseconds after the peak" },
    { "work", &work_blocks, 0, 10000000, "blocks allocated and freed after that" },
    { "seed", &seed, 0, UINT64_MAX / 2, "of sizes" },
};

struct set {
    void **blocks;
    uint64_t count, bytes_wanted, bytes, random;
};

static size_t table_bytes(const struct set *set)
{
    return (set->bytes_wanted / min_bytes + 1) * sizeof(void *);
}

static void allocate_set(struct set *set)
{
    set->blocks = bench_pages(table_bytes(set));
    while (set->bytes < set->bytes_wanted) {
        uint64_t r = bench_random(&set->random);
        size_t n = min_bytes + bench_below((uint32_t)r, max_bytes - min_bytes + 1);
        void *block = malloc(n);
        if (!block)
            bench_die("malloc(%zu) failed", n);
        bench_fill(block, n, r);
        set->blocks[set->count++] = block;
        set->bytes += n;
    }
}

static void free_set(struct set *set)
{
    for (uint64_t i = 0; i < set->count; i++)
        free(set->blocks[i]);
    munmap(set->blocks, table_bytes(set));
}

static void *rise_and_fall(void *arg)
{
    allocate_set(arg);
    free_set(arg);
    return NULL;
}

// Blocks of a size that neither set has in number, so that slow paths run.
static void do_some_work(void)
{
    size_t bytes = (work_blocks + 1) * sizeof(void *);
    void **blocks = bench_pages(bytes);
    for (uint64_t i = 0; i < work_blocks; i++)
        blocks[i] = malloc(24);
    for (uint64_t i = 0; i < work_blocks; i++)
        free(blocks[i]);
    munmap(blocks, bytes);
}

int main(int argc, char **argv)
{
    bench_options(argc, argv, options, sizeof options / sizeof options[0]);
    if (min_bytes > max_bytes)
        bench_die("--min is above --max");
    struct set live = { .bytes_wanted = live_mb << 20, .random = bench_seed(seed, 0) };
    struct set *peak = bench_pages(threads * sizeof *peak);
    for (uint64_t i = 0; i < threads; i++)
        peak[i] = (struct set){ .bytes_wanted = (peak_mb << 20) / threads,
                                .random = bench_seed(seed, i + 1) };
    allocate_set(&live);
    if (threads == 1)
        rise_and_fall(peak);
    else
        bench_threads((unsigned)threads, rise_and_fall, peak, sizeof *peak);
    struct timespec pause = { (time_t)(wait_ms / 1000), (long)(wait_ms % 1000) * 1000000 };
    nanosleep(&pause, NULL);
    do_some_work();
    // The table of the live blocks is this program's own.
    uint64_t after = bench_status_kb("VmRSS:") - (live.count * sizeof(void *) >> 10);
    printf("{\"name\":\"peak\",\"live_kb\":%" PRIu64 ",\"peak_kb\":%" PRIu64
           ",\"after_kb\":%" PRIu64 "}\n",
           live.bytes >> 10, bench_status_kb("VmHWM:"), after);
    free_set(&live);
}

// latency.c: how long single calls take: the first ones of a process or of a thread, or those of a
// thread that has been at work for a while. Samples go to a file descriptor.
//
//   malloc   until the block is there
//   write    the first write to its start, its end and each page between
//   free
//   clock    nothing: what reading the clock adds to each of the others
//
// With --threads=0 the calls are the first of the process (but for the C library's own before
// main); else each thread begins when the one before has ended. With --warm-up others come first
// that are not measured.
//
// Written are, for each series, its number of samples and the samples, 32-bit, nanoseconds.
#include "bench.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static uint64_t blocks = 500, min_bytes = 16, max_bytes = 1024, threads, warm_up, seed = 1, fd = 1;

static const struct bench_option options[] = {
    { "blocks", &blocks, 1, 10000000, "allocated and then freed by each thread" },
    { "min", &min_bytes, 8, 1 << 30, "smallest block, bytes" },
    { "max", &max_bytes, 8, 1 << 30, "largest block, bytes" },
    { "threads", &threads, 0, 100000, "one after the other; 0: the main thread" },
    { "warm-up", &warm_up, 0, UINT64_MAX / 4, "pairs of free and malloc before" },
    { "seed", &seed, 0, UINT64_MAX / 2, "of sizes and slots" },
    { "fd", &fd, 1, 1024, "where samples go; 1: nowhere" },
};

enum series { MALLOC, WRITE, FREE, CLOCK, SERIES };

struct slot {
    void *block;
    size_t bytes;
};

static struct slot *slots;
static uint32_t *samples[SERIES];
static uint64_t sampled, checksum;

static inline uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void record(enum series series, uint64_t i, uint64_t begin, uint64_t end)
{
    samples[series][i] = end - begin < UINT32_MAX ? (uint32_t)(end - begin) : UINT32_MAX;
}

static void fill_slot(struct slot *slot, uint64_t random)
{
    slot->bytes = min_bytes + bench_below((uint32_t)random, max_bytes - min_bytes + 1);
    slot->block = malloc(slot->bytes);
    if (!slot->block)
        bench_die("malloc(%zu) failed", slot->bytes);
    bench_fill(slot->block, slot->bytes, random);
}

// As many blocks as are measured later, replaced at random, then all freed.
static void warm(uint64_t *random)
{
    for (uint64_t i = 0; i < blocks; i++)
        fill_slot(&slots[i], bench_random(random));
    for (uint64_t i = 0; i < warm_up; i++) {
        uint64_t r = bench_random(random);
        struct slot *slot = &slots[bench_below((uint32_t)(r >> 32), blocks)];
        free(slot->block);
        fill_slot(slot, r);
    }
    for (uint64_t i = 0; i < blocks; i++)
        free(slots[i].block);
}

static void *live(void *arg)
{
    uint64_t *random = arg, base = sampled;
    if (warm_up)
        warm(random);
    for (uint64_t i = 0; i < blocks; i++) {
        uint64_t r = bench_random(random);
        size_t bytes = min_bytes + bench_below((uint32_t)r, max_bytes - min_bytes + 1);
        uint64_t asked = now_ns();
        void *block = malloc(bytes);
        uint64_t got = now_ns();
        if (!block)
            bench_die("malloc(%zu) failed", bytes);
        bench_fill(block, bytes, r);
        uint64_t written = now_ns();
        uint64_t again = now_ns();
        record(MALLOC, base + i, asked, got);
        record(WRITE, base + i, got, written);
        record(CLOCK, base + i, written, again);
        slots[i] = (struct slot){ block, bytes };
    }
    for (uint64_t i = 0; i < blocks; i++) {
        checksum += bench_read(slots[i].block, slots[i].bytes);
        uint64_t begin = now_ns();
        free(slots[i].block);
        record(FREE, base + i, begin, now_ns());
    }
    sampled += blocks;
    return NULL;
}

static void write_all(const void *data, size_t bytes)
{
    for (const char *at = data; bytes;) {
        ssize_t done = write((int)fd, at, bytes);
        if (done < 0)
            bench_die("file descriptor %d: %s", (int)fd, strerror(errno));
        at += done;
        bytes -= (size_t)done;
    }
}

int main(int argc, char **argv)
{
    bench_options(argc, argv, options, sizeof options / sizeof options[0]);
    if (min_bytes > max_bytes)
        bench_die("--min is above --max");
    uint64_t lives = threads ? threads : 1, count = lives * blocks, random = bench_seed(seed, 0);
    slots = bench_pages(blocks * sizeof *slots);
    memset(slots, 1, blocks * sizeof *slots); // their page faults are not what is measured
    for (unsigned s = 0; s < SERIES; s++)
        memset(samples[s] = bench_pages(count * sizeof(uint32_t)), 1, count * sizeof(uint32_t));
    struct bench_run run;
    bench_begin(&run);
    if (!threads)
        live(&random);
    for (uint64_t i = 0; i < threads; i++)
        bench_threads(1, live, &random, 0);
    bench_end(&run);
    for (unsigned s = 0; s < SERIES && fd != 1; s++) {
        write_all(&count, sizeof count);
        write_all(samples[s], count * sizeof(uint32_t));
    }
    bench_report(&run, "latency", 2 * count, checksum);
}

// mixed.c: a set of slots; each step frees the block of a random slot and allocates a new one of a
// random size there. With --min equal to --max it is the fixed-size benchmark.
#include "bench.h"

#include <stdlib.h>

static uint64_t slots = 256, min_bytes = 16, max_bytes = 1040, steps = 5000000, threads = 1;
static uint64_t seed = 1, sized;

static const struct bench_option options[] = {
    { "slots", &slots, 1, 100000000, "blocks alive in each thread" },
    { "min", &min_bytes, 1, 1 << 30, "smallest block, bytes" },
    { "max", &max_bytes, 1, 1 << 30, "largest block, bytes" },
    { "steps", &steps, 1, UINT64_MAX / 4, "pairs of free and malloc in each thread" },
    { "threads", &threads, 1, 1024, "threads, each with slots of its own" },
    { "seed", &seed, 0, UINT64_MAX / 2, "of sizes and slots" },
    { "sized", &sized, 0, 1, "1: free_sized instead of free" },
};

struct slot {
    void *block;
    size_t bytes;
};

struct worker {
    struct slot *slots;
    uint64_t random;
    uint64_t checksum;
};

static void fill_slot(struct slot *slot, size_t bytes, uint64_t stamp)
{
    slot->block = malloc(bytes);
    if (!slot->block)
        bench_die("malloc(%zu) failed", bytes);
    slot->bytes = bytes;
    bench_fill(slot->block, bytes, stamp);
}

BENCH_COUNTED static uint64_t run_slots(struct slot *set, uint64_t *random)
{
    uint64_t range = max_bytes - min_bytes + 1, sum = 0;
    for (uint64_t i = 0; i < steps; i++) {
        uint64_t r = bench_random(random);
        struct slot *slot = &set[bench_below((uint32_t)(r >> 32), slots)];
        sum += bench_read(slot->block, slot->bytes);
        if (sized)
            bench_free_sized(slot->block, slot->bytes);
        else
            free(slot->block);
        fill_slot(slot, min_bytes + bench_below((uint32_t)r, range), r);
    }
    return sum;
}

static void *work(void *arg)
{
    struct worker *worker = arg;
    uint64_t range = max_bytes - min_bytes + 1;
    for (uint64_t i = 0; i < slots; i++) {
        uint64_t r = bench_random(&worker->random);
        fill_slot(&worker->slots[i], min_bytes + bench_below((uint32_t)r, range), r);
    }
    worker->checksum = run_slots(worker->slots, &worker->random);
    for (uint64_t i = 0; i < slots; i++) {
        worker->checksum += bench_read(worker->slots[i].block, worker->slots[i].bytes);
        free(worker->slots[i].block);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    bench_options(argc, argv, options, sizeof options / sizeof options[0]);
    if (min_bytes > max_bytes)
        bench_die("--min is above --max");
    struct worker *workers = bench_pages(threads * sizeof *workers);
    for (uint64_t i = 0; i < threads; i++) {
        workers[i].slots = bench_pages(slots * sizeof(struct slot));
        workers[i].random = bench_seed(seed, i);
    }
    struct bench_run run;
    bench_begin(&run);
    if (threads == 1)
        work(workers); // the main thread, as most programs have it
    else
        bench_threads((unsigned)threads, work, workers, sizeof *workers);
    bench_end(&run);
    uint64_t sum = 0;
    for (uint64_t i = 0; i < threads; i++)
        sum += workers[i].checksum;
    bench_report(&run, "mixed", 2 * threads * (steps + slots), sum);
}

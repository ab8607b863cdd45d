// batch.c: allocates a batch of blocks of one size, frees them all, and repeats.
#include "bench.h"

#include <stdlib.h>

static uint64_t count = 1000, bytes = 32, repeat = 10000, reverse, sized;

static const struct bench_option options[] = {
    { "count", &count, 1, 100000000, "blocks of a batch" },
    { "bytes", &bytes, 8, 1 << 30, "size of a block" },
    { "repeat", &repeat, 1, UINT64_MAX / 4, "batches" },
    { "reverse", &reverse, 0, 1, "1: free the youngest first" },
    { "sized", &sized, 0, 1, "1: free_sized instead of free" },
};

BENCH_COUNTED static uint64_t run_batch(uint64_t **blocks, uint64_t stamp)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < count; i++) {
        blocks[i] = malloc(bytes);
        if (!blocks[i])
            bench_die("malloc(%zu) failed", (size_t)bytes);
        *blocks[i] = stamp + i;
    }
    for (uint64_t i = 0; i < count; i++) {
        uint64_t *block = blocks[reverse ? count - 1 - i : i];
        sum += *block;
        if (sized)
            bench_free_sized(block, bytes);
        else
            free(block);
    }
    return sum;
}

int main(int argc, char **argv)
{
    bench_options(argc, argv, options, sizeof options / sizeof options[0]);
    uint64_t **blocks = bench_pages(count * sizeof *blocks), sum = 0;
    struct bench_run run;
    bench_begin(&run);
    for (uint64_t i = 0; i < repeat; i++)
        sum += run_batch(blocks, i);
    bench_end(&run);
    bench_report(&run, "batch", 2 * count * repeat, sum);
}

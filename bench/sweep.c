// sweep.c: blocks of 64 KiB to 4 MiB, size by size. For each size a few blocks are alive at a time
// and are replaced in turn. With --touch=1 every page of a block is written, else nothing is.
#include "bench.h"

#include <stdlib.h>

#define LIVE_MAX 4096u

static uint64_t min_bytes = 64 << 10, max_bytes = 4 << 20, live = 4, steps = 500, touch = 1;

static const struct bench_option options[] = {
    { "min", &min_bytes, 64, 1 << 30, "first size, bytes" },
    { "max", &max_bytes, 64, 1 << 30, "sizes stop here; four in each doubling, and one odd" },
    { "live", &live, 1, LIVE_MAX, "blocks alive at a time" },
    { "steps", &steps, 1, 1000000000, "blocks of each size" },
    { "touch", &touch, 0, 1, "1: write to each page" },
};

BENCH_COUNTED static uint64_t run_size(void **blocks, size_t bytes)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < steps + live; i++) {
        void **slot = &blocks[i % live];
        if (*slot && touch)
            sum += bench_read(*slot, bytes);
        free(*slot);
        *slot = NULL;
        if (i >= steps)
            continue;
        *slot = malloc(bytes);
        if (!*slot)
            bench_die("malloc(%zu) failed", bytes);
        if (touch)
            bench_fill(*slot, bytes, i);
    }
    return sum;
}

int main(int argc, char **argv)
{
    bench_options(argc, argv, options, sizeof options / sizeof options[0]);
    if (min_bytes > max_bytes)
        bench_die("--min is above --max");
    void **blocks = bench_pages(live * sizeof *blocks);
    uint64_t sum = 0, sizes = 0;
    struct bench_run run;
    bench_begin(&run);
    for (size_t base = min_bytes; base <= max_bytes; base *= 2) {
        // Quarters of a doubling, each once a little above it, where rounding up hurts most.
        for (size_t quarter = 4; quarter < 8 && base * quarter / 4 <= max_bytes; quarter++) {
            sum += run_size(blocks, base * quarter / 4 + 24);
            sizes++;
        }
    }
    bench_end(&run);
    bench_report(&run, touch ? "sweep touched" : "sweep untouched", 2 * sizes * steps, sum);
}

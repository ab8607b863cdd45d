// threads.c: many short-lived threads. Each allocates a few blocks, frees half of them and leaves
// the rest to the main thread, which frees them after the thread has ended.
#include "bench.h"

#include <stdlib.h>

#define WAVE_MAX 64u

static uint64_t waves = 500, wave = 4, blocks = 200, max_bytes = 512, seed = 1;

static const struct bench_option options[] = {
    { "waves", &waves, 1, 10000000, "groups of threads, one after the other" },
    { "wave", &wave, 1, WAVE_MAX, "threads alive at a time" },
    { "blocks", &blocks, 2, 1000000, "allocated by each thread" },
    { "max", &max_bytes, 16, 1 << 30, "largest block, bytes; the smallest is 16" },
    { "seed", &seed, 0, UINT64_MAX / 2, "of sizes" },
};

struct life {
    void **left;
    size_t *bytes;
    uint64_t random, checksum;
};

static void *live(void *arg)
{
    struct life *life = arg;
    for (uint64_t i = 0; i < blocks; i++) {
        uint64_t r = bench_random(&life->random);
        life->bytes[i] = 16 + bench_below((uint32_t)r, max_bytes - 15);
        life->left[i] = malloc(life->bytes[i]);
        if (!life->left[i])
            bench_die("malloc(%zu) failed", life->bytes[i]);
        bench_fill(life->left[i], life->bytes[i], r);
    }
    for (uint64_t i = 0; i < blocks; i += 2) {
        life->checksum += bench_read(life->left[i], life->bytes[i]);
        free(life->left[i]);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    bench_options(argc, argv, options, sizeof options / sizeof options[0]);
    struct life *lives = bench_pages(wave * sizeof *lives);
    for (uint64_t i = 0; i < wave; i++) {
        lives[i].left = bench_pages(blocks * sizeof(void *));
        lives[i].bytes = bench_pages(blocks * sizeof(size_t));
        lives[i].random = bench_seed(seed, i);
    }
    uint64_t sum = 0;
    struct bench_run run;
    bench_begin(&run);
    for (uint64_t w = 0; w < waves; w++) {
        bench_threads((unsigned)wave, live, lives, sizeof *lives);
        for (uint64_t i = 0; i < wave; i++) {
            for (uint64_t b = 1; b < blocks; b += 2) {
                sum += bench_read(lives[i].left[b], lives[i].bytes[b]);
                free(lives[i].left[b]);
            }
        }
    }
    bench_end(&run);
    for (uint64_t i = 0; i < wave; i++)
        sum += lives[i].checksum;
    bench_report(&run, "threads", 2 * waves * wave * blocks, sum);
}

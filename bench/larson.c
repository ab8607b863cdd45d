// larson.c: a server whose threads die young. Each chain owns a set of blocks and replaces random
// ones; after so many steps its thread starts a successor that inherits the blocks, and ends. So
// most blocks are freed by a thread other than the one that allocated them.
// The workload is Larson and Krishnan's (1998), with a fixed amount of work instead of a time.
#include "bench.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

static uint64_t chains = 1, min_bytes = 8, max_bytes = 1000, blocks = 1000, steps = 100000;
static uint64_t lives = 10, seed = 1;

static const struct bench_option options[] = {
    { "threads", &chains, 1, 1024, "threads alive at a time" },
    { "min", &min_bytes, 8, 1 << 30, "smallest block, bytes" },
    { "max", &max_bytes, 8, 1 << 30, "largest block, bytes" },
    { "blocks", &blocks, 1, 10000000, "blocks of each thread" },
    { "steps", &steps, 1, UINT64_MAX / 4, "pairs of free and malloc in a thread's life" },
    { "lives", &lives, 1, 1000000, "threads that inherit a set one after the other" },
    { "seed", &seed, 0, UINT64_MAX / 2, "of sizes and slots" },
};

struct slot {
    void *block;
    size_t bytes;
};

struct chain {
    struct slot *slots;
    uint64_t random, checksum, lives_left;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t all_ended = PTHREAD_COND_INITIALIZER;
static uint64_t chains_left;

static void fill_slot(struct slot *slot, uint64_t random)
{
    slot->bytes = min_bytes + bench_below((uint32_t)random, max_bytes - min_bytes + 1);
    slot->block = malloc(slot->bytes);
    if (!slot->block)
        bench_die("malloc(%zu) failed", slot->bytes);
    bench_fill(slot->block, slot->bytes, random);
}

static uint64_t empty_slot(struct slot *slot)
{
    uint64_t sum = bench_read(slot->block, slot->bytes);
    free(slot->block);
    return sum;
}

static void start_life(struct chain *chain);

static void *live(void *arg)
{
    struct chain *chain = arg;
    for (uint64_t i = 0; i < steps; i++) {
        uint64_t r = bench_random(&chain->random);
        struct slot *slot = &chain->slots[bench_below((uint32_t)(r >> 32), blocks)];
        chain->checksum += empty_slot(slot);
        fill_slot(slot, r);
    }
    if (--chain->lives_left) {
        start_life(chain);
        return NULL;
    }
    for (uint64_t i = 0; i < blocks; i++)
        chain->checksum += empty_slot(&chain->slots[i]);
    pthread_mutex_lock(&lock);
    if (--chains_left == 0)
        pthread_cond_signal(&all_ended);
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void start_life(struct chain *chain)
{
    pthread_t thread;
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    int error = pthread_create(&thread, &detached, live, chain);
    if (error)
        bench_die("pthread_create: %s", strerror(error));
    pthread_attr_destroy(&detached);
}

int main(int argc, char **argv)
{
    bench_options(argc, argv, options, sizeof options / sizeof options[0]);
    if (min_bytes > max_bytes)
        bench_die("--min is above --max");
    struct chain *set = bench_pages(chains * sizeof *set);
    for (uint64_t c = 0; c < chains; c++) {
        set[c] = (struct chain){ bench_pages(blocks * sizeof(struct slot)), bench_seed(seed, c), 0,
                                 lives };
        for (uint64_t i = 0; i < blocks; i++)
            fill_slot(&set[c].slots[i], bench_random(&set[c].random));
    }
    chains_left = chains;
    struct bench_run run;
    bench_begin(&run);
    for (uint64_t c = 0; c < chains; c++)
        start_life(&set[c]);
    pthread_mutex_lock(&lock);
    while (chains_left)
        pthread_cond_wait(&all_ended, &lock);
    pthread_mutex_unlock(&lock);
    bench_end(&run);
    uint64_t sum = 0;
    for (uint64_t c = 0; c < chains; c++)
        sum += set[c].checksum;
    bench_report(&run, "larson", 2 * chains * steps * lives, sum);
}

// transfer.c: producers allocate and fill blocks, consumers read and free them. Blocks travel in
// parcels through one bounded queue, so that the queue's lock is shared by many blocks.
//
// With --own=0 a consumer only ever frees; otherwise it allocates and frees so many blocks of its
// own for each one it receives, as a thread does that answers what it gets.
#include "bench.h"

#include <pthread.h>
#include <stdlib.h>

#define PARCEL_BLOCKS 64u
#define QUEUE_PARCELS 64u

static uint64_t producers = 1, consumers = 1, parcels = 20000, min_bytes = 16, max_bytes = 512;
static uint64_t own = 1, seed = 1;

static const struct bench_option options[] = {
    { "producers", &producers, 1, 512, "threads that allocate" },
    { "consumers", &consumers, 1, 512, "threads that free" },
    { "parcels", &parcels, 1, 1000000000, "from each producer, 64 blocks each" },
    { "min", &min_bytes, 8, 1 << 30, "smallest block, bytes" },
    { "max", &max_bytes, 8, 1 << 30, "largest block, bytes" },
    { "own", &own, 0, 1000, "blocks that a consumer allocates and frees for each received" },
    { "seed", &seed, 0, UINT64_MAX / 2, "of sizes" },
};

struct parcel {
    void *blocks[PARCEL_BLOCKS];
    uint32_t bytes[PARCEL_BLOCKS];
};

struct worker {
    uint64_t produces; // 1: a producer, 0: a consumer
    uint64_t random, checksum;
    struct parcel parcel;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t filled, emptied;
    uint64_t head, tail, left; // parcels taken, put, and still to be taken
    struct parcel parcels[QUEUE_PARCELS];
} queue = { .lock = PTHREAD_MUTEX_INITIALIZER,
            .filled = PTHREAD_COND_INITIALIZER,
            .emptied = PTHREAD_COND_INITIALIZER };

static void *allocate(size_t bytes, uint64_t stamp)
{
    void *block = malloc(bytes);
    if (!block)
        bench_die("malloc(%zu) failed", bytes);
    bench_fill(block, bytes, stamp);
    return block;
}

static void produce(struct worker *worker)
{
    struct parcel *parcel = &worker->parcel;
    for (uint64_t i = 0; i < parcels; i++) {
        for (unsigned j = 0; j < PARCEL_BLOCKS; j++) {
            uint64_t r = bench_random(&worker->random);
            parcel->bytes[j] = (uint32_t)(min_bytes +
                                          bench_below((uint32_t)r, max_bytes - min_bytes + 1));
            parcel->blocks[j] = allocate(parcel->bytes[j], r);
        }
        pthread_mutex_lock(&queue.lock);
        while (queue.tail - queue.head == QUEUE_PARCELS)
            pthread_cond_wait(&queue.emptied, &queue.lock);
        queue.parcels[queue.tail++ % QUEUE_PARCELS] = *parcel;
        pthread_cond_signal(&queue.filled);
        pthread_mutex_unlock(&queue.lock);
    }
}

// Takes a parcel; 0 when all have been taken.
static int take(struct parcel *parcel)
{
    pthread_mutex_lock(&queue.lock);
    while (queue.left && queue.tail == queue.head)
        pthread_cond_wait(&queue.filled, &queue.lock);
    int any = queue.left > 0;
    if (any) {
        *parcel = queue.parcels[queue.head++ % QUEUE_PARCELS];
        pthread_cond_signal(&queue.emptied);
        if (--queue.left == 0)
            pthread_cond_broadcast(&queue.filled);
    }
    pthread_mutex_unlock(&queue.lock);
    return any;
}

BENCH_COUNTED static void consume(struct worker *worker)
{
    struct parcel *parcel = &worker->parcel;
    while (take(parcel)) {
        for (unsigned j = 0; j < PARCEL_BLOCKS; j++) {
            size_t bytes = parcel->bytes[j];
            uint64_t stamp = bench_read(parcel->blocks[j], bytes);
            worker->checksum += stamp;
            free(parcel->blocks[j]);
            for (uint64_t k = 0; k < own; k++) {
                void *answer = allocate(bytes, stamp);
                worker->checksum += bench_read(answer, bytes);
                free(answer);
            }
        }
    }
}

static void *work(void *arg)
{
    struct worker *worker = arg;
    if (worker->produces)
        produce(worker);
    else
        consume(worker);
    return NULL;
}

int main(int argc, char **argv)
{
    bench_options(argc, argv, options, sizeof options / sizeof options[0]);
    if (min_bytes > max_bytes)
        bench_die("--min is above --max");
    uint64_t count = producers + consumers, sum = 0;
    struct worker *workers = bench_pages(count * sizeof *workers);
    for (uint64_t i = 0; i < count; i++) {
        workers[i].produces = i < producers;
        workers[i].random = bench_seed(seed, i);
    }
    queue.left = producers * parcels;
    struct bench_run run;
    bench_begin(&run);
    bench_threads((unsigned)count, work, workers, sizeof *workers);
    bench_end(&run);
    for (uint64_t i = 0; i < count; i++)
        sum += workers[i].checksum;
    bench_report(&run, "transfer", 2 * producers * parcels * PARCEL_BLOCKS * (1 + own), sum);
}

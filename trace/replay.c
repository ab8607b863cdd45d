// replay.c: carries out the operations of a trace.
//
//   plan (made before the clock starts, in mappings, so that malloc sees the trace only)
//     place[i]  where the block of operation i is kept      turn[i]  its number on that place
//   places[p]   block, size, pattern; `done` counts the operations finished on it
//
// In one thread the places are the slots of the trace. With real threads a slot that is reused at
// once would tie threads together that have nothing to do with each other, so places are taken
// from a queue of each allocating thread, the longest unused first.
//
// Threads: each life of a thread (up to its EXIT) is an operating-system thread; the last act of a
// life is to begin the next one of its number. An operation waits until places[p].done is its turn;
// as all waits point to earlier operations of one order, the earliest unfinished one never waits.
//
// Failure: the first finding is kept, everybody stops, the result is the finding.
#define _GNU_SOURCE
#include "replay.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "replay_block.h"

#define STACK_BYTES ((size_t)256 << 10)
#define THREADS_AT_ONCE_MAX 4096
#define PLACES_AHEAD 256 // unused places that a thread keeps before it takes one again
#define SPINS_MAX 64

struct place {
    struct replay_block block;
    uint32_t done;
};

// One life of a thread: the operations `first`, next[first], and so on to its EXIT.
struct life {
    struct replay *replay;
    uint32_t first;
};

struct replay {
    const struct trace *trace;
    const struct replay_options *options;
    struct place *places;
    size_t places_count;
    uint32_t *place; // by operation
    uint32_t *turn;  // by operation
    uint32_t *next;  // by operation: the next one of the same thread, or NEVER
    uint32_t *first; // by thread
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t threads_left; // guarded by lock
    bool failed;           // atomic; error is guarded by lock
    struct ops_error *error;
};

// ---- tables ----

static void *map(size_t bytes)
{
    void *p = mmap(NULL, bytes + 1, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static void unmap(void *p, size_t bytes)
{
    if (p)
        munmap(p, bytes + 1);
}

__attribute__((format(printf, 3, 4))) static bool fail(struct replay *r, size_t index,
                                                       const char *format, ...)
{
    va_list args;
    va_start(args, format);
    pthread_mutex_lock(&r->lock);
    if (!__atomic_load_n(&r->failed, __ATOMIC_RELAXED)) {
        r->error->text = false;
        r->error->where = index;
        vsnprintf(r->error->reason, sizeof r->error->reason, format, args);
        __atomic_store_n(&r->failed, true, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&r->lock);
    va_end(args);
    return false;
}

// Places of one thread that wait to be used again: a chain through `link`.
struct queue {
    uint32_t head;
    uint32_t tail;
    uint32_t count;
};

static uint32_t take_place(struct replay *r, struct queue *queue, const uint32_t *link)
{
    if (queue->count <= PLACES_AHEAD)
        return (uint32_t)r->places_count++;
    uint32_t place = queue->head;
    queue->head = link[place];
    queue->count--;
    return place;
}

static void give_place(struct queue *queue, uint32_t *link, uint32_t place)
{
    if (queue->count++ == 0)
        queue->head = place;
    else
        link[queue->tail] = place;
    queue->tail = place;
}

// Chooses the place of each block and numbers the operations on each place.
static bool plan_places(struct replay *r)
{
    const struct trace *trace = r->trace;
    size_t blocks = trace->blocks.count;
    size_t queue_bytes = trace->ops.header.threads * sizeof(struct queue);
    uint32_t *of_block = map(blocks * sizeof *of_block);
    uint32_t *link = map(blocks * sizeof *link);
    uint32_t *turns = map(blocks * sizeof *turns);
    struct queue *queues = map(queue_bytes);
    bool ok = of_block && link && turns && queues;
    for (uint32_t i = 0; ok && i < trace->ops.count; i++) {
        const struct op *op = &trace->ops.list[i];
        uint32_t b = trace->blocks.of_op[i];
        if (b == NO_BLOCK)
            continue;
        const struct block *block = &trace->blocks.list[b];
        if (block->born == i && r->options->real_threads) {
            of_block[b] = take_place(r, &queues[block->thread], link);
        } else if (block->born == i) {
            of_block[b] = op->slot;
            r->places_count = op->slot >= r->places_count ? op->slot + 1 : r->places_count;
        }
        r->place[i] = of_block[b];
        r->turn[i] = turns[of_block[b]]++;
        if (block->died == i)
            give_place(&queues[block->thread], link, of_block[b]);
    }
    unmap(of_block, blocks * sizeof *of_block);
    unmap(link, blocks * sizeof *link);
    unmap(turns, blocks * sizeof *turns);
    unmap(queues, queue_bytes);
    return ok;
}

static bool plan(struct replay *r)
{
    size_t ops = r->trace->ops.count;
    uint32_t threads = r->trace->ops.header.threads;
    r->place = map(ops * sizeof *r->place);
    r->turn = map(ops * sizeof *r->turn);
    r->next = map(ops * sizeof *r->next);
    r->first = map(threads * sizeof *r->first);
    if (!r->place || !r->turn || !r->next || !r->first || !plan_places(r))
        return fail(r, 0, "out of memory for the plan");
    for (uint32_t t = 0; t < threads; t++)
        r->first[t] = NEVER;
    for (uint32_t i = (uint32_t)ops; i-- > 0;) {
        r->next[i] = r->first[r->trace->ops.list[i].thread];
        r->first[r->trace->ops.list[i].thread] = i;
    }
    r->places = map(r->places_count * sizeof *r->places);
    return r->places || fail(r, 0, "out of memory for the plan");
}

static void drop_plan(struct replay *r)
{
    size_t ops = r->trace->ops.count;
    unmap(r->place, ops * sizeof *r->place);
    unmap(r->turn, ops * sizeof *r->turn);
    unmap(r->next, ops * sizeof *r->next);
    unmap(r->first, r->trace->ops.header.threads * sizeof *r->first);
    unmap(r->places, r->places_count * sizeof *r->places);
}

// ---- operations ----

static bool carry_out(struct replay *r, uint32_t i)
{
    const struct op *op = &r->trace->ops.list[i];
    char reason[sizeof r->error->reason];
    if (r->trace->blocks.of_op[i] == NO_BLOCK) {
        if (op->kind == OP_TRIM)
            malloc_trim(op->size);
        return true;
    }
    struct place *place = &r->places[r->place[i]];
    if (!replay_block_op(&place->block, op, i, r->options->fill, reason, sizeof reason))
        return fail(r, i, "%s", reason);
    return true;
}

static void run_in_one_thread(struct replay *r)
{
    size_t ops = r->trace->ops.count;
    for (uint32_t i = 0; i < ops; i++)
        if (!carry_out(r, i))
            return;
}

// ---- real threads ----

static void wait_for_turn(struct replay *r, uint32_t i)
{
    const struct place *place = &r->places[r->place[i]];
    for (unsigned spins = 0; __atomic_load_n(&place->done, __ATOMIC_ACQUIRE) != r->turn[i];) {
        if (__atomic_load_n(&r->failed, __ATOMIC_RELAXED))
            return;
        if (++spins > SPINS_MAX)
            sched_yield();
    }
}

// Each life, and the thread that waits for them, has a share in the replay; it ends with the last.
static void join(struct replay *r)
{
    pthread_mutex_lock(&r->lock);
    r->threads_left++;
    pthread_mutex_unlock(&r->lock);
}

// After this the caller must not touch the replay.
static void leave(struct replay *r)
{
    pthread_mutex_lock(&r->lock);
    if (--r->threads_left == 0)
        pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

static bool begin_life(struct replay *r, uint32_t first);

static void *live(void *argument)
{
    struct life life = *(struct life *)argument;
    struct replay *r = life.replay;
    munmap(argument, sizeof life);
    uint32_t i = life.first;
    bool exits = false;
    while (i != NEVER && !exits && !__atomic_load_n(&r->failed, __ATOMIC_RELAXED)) {
        bool names_block = r->trace->blocks.of_op[i] != NO_BLOCK;
        if (names_block)
            wait_for_turn(r, i);
        if (__atomic_load_n(&r->failed, __ATOMIC_RELAXED) || !carry_out(r, i))
            break;
        if (names_block)
            __atomic_store_n(&r->places[r->place[i]].done, r->turn[i] + 1, __ATOMIC_RELEASE);
        exits = r->trace->ops.list[i].kind == OP_EXIT;
        i = r->next[i];
    }
    if (exits && i != NEVER)
        begin_life(r, i);
    leave(r);
    return NULL;
}

static bool begin_life(struct replay *r, uint32_t first)
{
    pthread_attr_t attributes;
    pthread_t thread;
    // Not from malloc, which sees the trace only.
    struct life *life = mmap(NULL, sizeof *life, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (life == MAP_FAILED)
        return fail(r, first, "out of memory for a thread");
    *life = (struct life){ r, first };
    join(r);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int error = pthread_create(&thread, &attributes, live, life);
    pthread_attr_destroy(&attributes);
    if (error) {
        munmap(life, sizeof *life);
        leave(r);
        return fail(r, first, "cannot start thread %u: %s", r->trace->ops.list[first].thread,
                    strerrordesc_np(error));
    }
    return true;
}

static void run_in_threads(struct replay *r)
{
    uint32_t threads = r->trace->ops.header.threads;
    join(r); // our own share: the replay does not end before all threads have begun
    for (uint32_t t = 0; t < threads; t++)
        if (r->first[t] != NEVER && !begin_life(r, r->first[t]))
            break;
    pthread_mutex_lock(&r->lock);
    r->threads_left--;
    while (r->threads_left > 0)
        pthread_cond_wait(&r->changed, &r->lock);
    pthread_mutex_unlock(&r->lock);
}

// ---- measuring ----

static double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

// The line `name` of /proc/self/status, in KiB; 0 if there is none. Does not allocate.
static uint64_t status_kib(const char *name)
{
    static char text[16384];
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (length <= 0)
        return 0;
    text[length] = 0;
    const char *line = strstr(text, name);
    return line ? strtoull(line + strlen(name), NULL, 10) : 0;
}

// Makes the peak that the system keeps begin anew.
static bool forget_peak(void)
{
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, "5", 1) == 1;
    if (fd >= 0)
        close(fd);
    return ok;
}

static void free_rest(struct replay *r)
{
    for (size_t p = 0; p < r->places_count; p++) {
        free(r->places[p].block.p);
        r->places[p] = (struct place){ 0 };
    }
}

bool trace_replay(const struct trace *trace, const struct replay_options *options,
                  struct replay_result *result, struct ops_error *error)
{
    struct replay r = {
        .trace = trace,
        .options = options,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .changed = PTHREAD_COND_INITIALIZER,
        .error = error,
    };
    *result = (struct replay_result){ 0 };
    if (options->real_threads && trace->ops.header.threads > THREADS_AT_ONCE_MAX)
        fail(&r, 0, "%u threads at a time, more than %d", trace->ops.header.threads,
             THREADS_AT_ONCE_MAX);
    if (!r.failed && plan(&r)) {
        if (!forget_peak())
            fail(&r, 0, "cannot reset the peak of resident memory: %s", strerror(errno));
        result->rss_before_kib = status_kib("VmRSS:");
    }
    for (unsigned i = 0; i < options->repeats && !r.failed; i++) {
        double begun = now_seconds();
        if (options->real_threads)
            run_in_threads(&r);
        else
            run_in_one_thread(&r);
        result->seconds += now_seconds() - begun;
        result->ops += trace->ops.count;
        result->rss_peak_kib = status_kib("VmHWM:");
        if (!r.failed)
            free_rest(&r);
    }
    drop_plan(&r);
    return !r.failed;
}

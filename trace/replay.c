// replay.c: carries out the operations of a trace.
//
//   plan      the steps, see replay_plan.h; read only
//   place[p]  the block there; `done` counts the steps finished on it
//
// Everything here lies in mappings, so that malloc sees the trace only.
//
// Threads: each life of a thread (up to its EXIT) is an operating-system thread; the last act of a
// life is to begin the next one of its number. A step waits until places[p].done is its turn; as
// all waits point to earlier steps of one order, the earliest unfinished one never waits.
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
#include "replay_plan.h"

#define STACK_BYTES ((size_t)256 << 10)
#define THREADS_AT_ONCE_MAX 4096
#define SPINS_MAX 64

struct place {
    struct replay_block block;
    uint32_t done;
};

// One life of a thread: the steps `first`, its `next`, and so on to its EXIT.
struct life {
    struct replay *replay;
    uint32_t first;
};

struct replay {
    const struct replay_plan *plan;
    struct place *places;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t threads_left; // guarded by lock
    bool failed;           // atomic; error is guarded by lock
    struct ops_error *error;
};

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

// ---- operations ----

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

static bool carry_out(struct replay *r, uint32_t i)
{
    const struct replay_step *step = &r->plan->steps[i];
    char reason[sizeof r->error->reason];
    if (step->place == NO_BLOCK) {
        if (step->op.kind == OP_TRIM)
            malloc_trim(step->op.size);
        return true;
    }
    struct replay_block *block = &r->places[step->place].block;
    if (!replay_block_op(block, &step->op, i, r->plan->options.fill, reason, sizeof reason))
        return fail(r, i, "%s", reason);
    return true;
}

static void run_in_one_thread(struct replay *r)
{
    for (uint32_t i = 0; i < r->plan->steps_count; i++)
        if (!carry_out(r, i))
            return;
}

static uint64_t live_bytes(const struct replay *r, uint32_t i)
{
    uint32_t place = r->plan->steps[i].place;
    return place == NO_BLOCK || !r->places[place].block.p ? 0 : r->places[place].block.size;
}

// The same with samples, of which there is room for options.samples + 1.
static void run_with_samples(struct replay *r, struct replay_result *result)
{
    uint32_t every = r->plan->steps_count / r->plan->options.samples + 1;
    uint64_t live = 0;
    for (uint32_t i = 0; i < r->plan->steps_count; i++) {
        live -= live_bytes(r, i);
        if (!carry_out(r, i))
            return;
        live += live_bytes(r, i);
        if ((i + 1) % every != 0 && i + 1 != r->plan->steps_count)
            continue;
        uint64_t rss = status_kib("VmRSS:");
        result->samples[result->samples_count++] = (struct replay_sample){
            .operation = i + 1,
            .live_bytes = live,
            .rss_kib = rss > result->rss_before_kib ? rss - result->rss_before_kib : 0,
        };
    }
}

// ---- real threads ----

static void wait_for_turn(struct replay *r, const struct replay_step *step)
{
    const struct place *place = &r->places[step->place];
    for (unsigned spins = 0; __atomic_load_n(&place->done, __ATOMIC_ACQUIRE) != step->turn;) {
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
        const struct replay_step *step = &r->plan->steps[i];
        if (step->place != NO_BLOCK)
            wait_for_turn(r, step);
        if (__atomic_load_n(&r->failed, __ATOMIC_RELAXED) || !carry_out(r, i))
            break;
        if (step->place != NO_BLOCK)
            __atomic_store_n(&r->places[step->place].done, step->turn + 1, __ATOMIC_RELEASE);
        exits = step->op.kind == OP_EXIT;
        i = step->next;
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
        return fail(r, first, "cannot start thread %u: %s", r->plan->steps[first].op.thread,
                    strerrordesc_np(error));
    }
    return true;
}

static void run_in_threads(struct replay *r)
{
    const uint32_t *first = replay_plan_first(r->plan);
    join(r); // our own share: the replay does not end before all threads have begun
    for (uint32_t t = 0; t < r->plan->threads_count; t++)
        if (first[t] != NEVER && !begin_life(r, first[t]))
            break;
    pthread_mutex_lock(&r->lock);
    r->threads_left--;
    while (r->threads_left > 0)
        pthread_cond_wait(&r->changed, &r->lock);
    pthread_mutex_unlock(&r->lock);
}

// ---- measuring ----

static double now_seconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
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
    for (size_t p = 0; p < r->plan->places_count; p++) {
        free(r->places[p].block.p);
        r->places[p] = (struct place){ 0 };
    }
}

static void measure(struct replay *r, struct replay_result *result)
{
    if (!forget_peak()) {
        fail(r, 0, "cannot reset the peak of resident memory: %s", strerrordesc_np(errno));
        return;
    }
    result->rss_before_kib = status_kib("VmRSS:");
    for (unsigned i = 0; i < r->plan->options.repeats && !r->failed; i++) {
        double begun = now_seconds(CLOCK_MONOTONIC);
        double cpu_begun = now_seconds(CLOCK_PROCESS_CPUTIME_ID);
        if (r->plan->options.samples)
            run_with_samples(r, result);
        else if (r->plan->options.real_threads)
            run_in_threads(r);
        else
            run_in_one_thread(r);
        result->seconds += now_seconds(CLOCK_MONOTONIC) - begun;
        result->cpu_seconds += now_seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu_begun;
        result->ops += r->plan->steps_count;
        result->rss_peak_kib = status_kib("VmHWM:");
        if (!r->failed)
            free_rest(r);
    }
}

static bool make_room_for_samples(const struct replay_plan *plan, struct replay_result *result)
{
    if (plan->options.samples == 0)
        return true;
    size_t bytes = ((size_t)plan->options.samples + 1) * sizeof *result->samples;
    void *room = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    result->samples = room == MAP_FAILED ? NULL : room;
    return room != MAP_FAILED;
}

bool replay_run(const struct replay_plan *plan, struct replay_result *result,
                struct ops_error *error)
{
    struct replay r = {
        .plan = plan,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .changed = PTHREAD_COND_INITIALIZER,
        .error = error,
    };
    // One more: a trace without blocks is not out of memory.
    size_t bytes = ((size_t)plan->places_count + 1) * sizeof *r.places;
    *result = (struct replay_result){ 0 };
    if (plan->options.real_threads && plan->threads_count > THREADS_AT_ONCE_MAX)
        return fail(&r, 0, "%u threads at a time, more than %d", plan->threads_count,
                    THREADS_AT_ONCE_MAX);
    r.places = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
                    -1, 0);
    if (r.places == MAP_FAILED)
        return fail(&r, 0, "out of memory for the places of blocks");
    if (make_room_for_samples(plan, result))
        measure(&r, result);
    else
        fail(&r, 0, "out of memory for samples");
    munmap(r.places, bytes);
    return !r.failed;
}

bool trace_replay(const struct trace *trace, const struct replay_options *options,
                  struct replay_result *result, struct ops_error *error)
{
    int fd = replay_plan_make(trace, options, error);
    const struct replay_plan *plan = fd < 0 ? NULL : replay_plan_map(fd, error);
    if (!plan)
        return false;
    bool ok = replay_run(plan, result, error);
    replay_plan_unmap(plan);
    return ok;
}

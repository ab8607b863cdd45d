// watch.c: the workers' table, and the watchdog thread that looks at it.
//
//   slots[0 .. slots_high)   one struct worker each; used while its thread lives
//   watchdog                 each 50 ms: memory, live bytes; each second: has anybody stood still?
//
// Invariants: only its own thread writes a worker's counters; the slot's id never changes, its
// serial goes on with the next user of the slot, so no two blocks have the same tag.
// Hang: a worker inside of one call of the allocator, or all workers together, made no step for
// watch.stall_seconds. Growth: memory > base + factor * (most bytes live so far) + slack.
// Either prints where each thread stands (its operation, its steps, its stack) and aborts.
#define _GNU_SOURCE
#include "load.h"

#include <dirent.h>
#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WATCH_PERIOD_NS 50000000
#define WATCH_PERIODS_PER_LOOK 20
#define STACK_DEPTH_MAX 24
#define DUMP_STACKS_MAX 64u
#define DUMP_WAIT_NS 1000000000u

struct watch_settings watch = { .stall_seconds = 30,
                                .rss_factor = 3,
                                .rss_slack_bytes = 192 * MIB };

static struct worker slots[LOAD_WORKERS_MAX];
static _Atomic unsigned slots_high;
static pthread_mutex_t slots_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int64_t live_of_ended; // bytes left to others by workers that have ended
static _Atomic size_t memory_peak, live_peak, memory_allowed;
static size_t memory_base;
static const struct run *whole; // what the program was started for
static pthread_t watchdog;
static _Atomic bool watching;
static _Atomic bool failing;
static _Atomic unsigned stacks_written;

uint64_t load_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

struct worker *worker_begin(struct run *r, const char *name, uint64_t index)
{
    struct worker *w = NULL;
    struct rng mix = { r->seed ^ (index * 0xd1342543de82ef95u) };

    pthread_mutex_lock(&slots_lock);
    for (unsigned i = 0; i < LOAD_WORKERS_MAX && w == NULL; i++) {
        if (!atomic_load_explicit(&slots[i].used, memory_order_relaxed)) {
            w = &slots[i];
            w->id = i;
            if (i >= atomic_load(&slots_high))
                atomic_store(&slots_high, i + 1);
        }
    }
    if (w == NULL) {
        pthread_mutex_unlock(&slots_lock);
        load_fail(NULL, "more than %u workers at a time", LOAD_WORKERS_MAX);
    }
    w->run = r;
    w->rng.state = rng_next(&mix);
    w->full_every = 32;
    w->null_allowed = false;
    w->nulls = 0;
    w->thread = pthread_self();
    atomic_store(&w->ops, 0);
    atomic_store(&w->live_bytes, 0);
    atomic_store(&w->op, NULL);
    snprintf(w->name, sizeof w->name, "%s-%llu", name, (unsigned long long)index);
    atomic_store(&w->used, true);
    pthread_mutex_unlock(&slots_lock);
    worker_step(w);
    return w;
}

void worker_end(struct worker *w)
{
    pthread_mutex_lock(&slots_lock);
    atomic_fetch_add(&w->run->ops, atomic_load(&w->ops));
    atomic_fetch_add(&live_of_ended, atomic_load(&w->live_bytes));
    atomic_store(&w->ops, 0);
    atomic_store(&w->live_bytes, 0);
    atomic_store(&w->used, false);
    pthread_mutex_unlock(&slots_lock);
}

int64_t watch_live(void)
{
    int64_t live = atomic_load(&live_of_ended);
    unsigned high = atomic_load(&slots_high);

    for (unsigned i = 0; i < high; i++)
        live += atomic_load_explicit(&slots[i].live_bytes, memory_order_relaxed);
    return live;
}

uint64_t watch_ops(void)
{
    uint64_t ops = 0;
    unsigned high = atomic_load(&slots_high);

    for (unsigned i = 0; i < high; i++)
        ops += atomic_load_explicit(&slots[i].ops, memory_order_relaxed);
    return ops;
}

size_t load_rss_bytes(void)
{
    char text[128];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    unsigned long size;
    unsigned long resident;

    if (fd >= 0)
        close(fd);
    if (n <= 0)
        load_fail(NULL, "cannot read /proc/self/statm");
    text[n] = '\0';
    if (sscanf(text, "%lu %lu", &size, &resident) != 2)
        load_fail(NULL, "/proc/self/statm holds \"%s\"", text);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

unsigned load_count_threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    unsigned n = 0;

    if (dir == NULL)
        load_fail(NULL, "cannot open /proc/self/task");
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir))
        n += e->d_name[0] != '.';
    closedir(dir);
    return n;
}

void load_wait_threads(unsigned threads)
{
    uint64_t give_up = load_now_ns() + (uint64_t)(watch.stall_seconds * 1e9);

    while (load_count_threads() > threads) {
        if (load_now_ns() > give_up)
            load_fail(NULL, "%u threads live on, %u expected", load_count_threads(), threads);
        usleep(1000);
    }
}

size_t watch_memory_peak(void)
{
    return atomic_load(&memory_peak);
}

size_t watch_live_peak(void)
{
    return atomic_load(&live_peak);
}

void watch_allow(size_t bytes)
{
    atomic_fetch_add(&memory_allowed, bytes);
}

// ---- the dump ----

void watch_write_stack(void)
{
    void *frames[STACK_DEPTH_MAX];
    int n = backtrace(frames, STACK_DEPTH_MAX);

    backtrace_symbols_fd(frames, n, STDERR_FILENO);
}

static void on_dump_signal(int signal)
{
    (void)signal;
    watch_write_stack();
    atomic_fetch_add(&stacks_written, 1);
}

// Asks a thread for its stack and waits until it is written, so that two do not mix. A thread that
// the kernel does not run, or that is in a call that cannot be interrupted, is left out.
static void ask_for_stack(pthread_t thread)
{
    unsigned before = atomic_load(&stacks_written);
    uint64_t give_up = load_now_ns() + DUMP_WAIT_NS;

    pthread_kill(thread, WATCH_SIGNAL);
    while (atomic_load(&stacks_written) == before && load_now_ns() < give_up)
        usleep(1000);
}

static void dump_workers(void)
{
    unsigned high = atomic_load(&slots_high);
    unsigned stacks = 0;
    pthread_t self = pthread_self();

    for (unsigned i = 0; i < high; i++) {
        struct worker *w = &slots[i];
        const char *op = atomic_load(&w->op);
        uint64_t since = atomic_load(&w->still_since_ns);

        if (!atomic_load(&w->used))
            continue;
        dprintf(STDERR_FILENO,
                "  worker %u %s: %s, %llu steps, %llu blocks taken, last step %.1f s ago\n", w->id,
                w->name, op != NULL ? op : "outside of the allocator",
                (unsigned long long)atomic_load(&w->steps),
                (unsigned long long)atomic_load(&w->serial),
                since == 0 ? 0.0 : (double)(load_now_ns() - since) / 1e9);
        if (stacks++ < DUMP_STACKS_MAX && !pthread_equal(w->thread, self))
            ask_for_stack(w->thread);
    }
}

static void print_command(const char *what, const struct run *r)
{
    dprintf(STDERR_FILENO, "%s: stress %s --threads %u --seconds %g --seed %llu", what,
            r->load->name, r->threads, r->seconds, (unsigned long long)r->seed);
    if (r->count_max != 0)
        dprintf(STDERR_FILENO, " --count %llu", (unsigned long long)r->count_max);
    for (int i = 0; i < r->argc; i++)
        dprintf(STDERR_FILENO, " %s", r->argv[i]);
    dprintf(STDERR_FILENO, "\n");
}

_Noreturn void load_fail(const struct worker *w, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    dprintf(STDERR_FILENO, "FAIL %s%s%s: %s\n", w != NULL ? w->run->load->name : "stress",
            w != NULL ? ", worker " : "", w != NULL ? w->name : "", text);
    if (!atomic_exchange(&failing, true)) {
        if (whole != NULL)
            print_command("repeat with", whole);
        if (w != NULL && w->run != whole)
            print_command("or this part of it", w->run);
        // In a forked child the other threads do not exist, so there is nobody to ask.
        if (atomic_load(&watching))
            dump_workers();
    }
    abort();
}

// ---- the watchdog ----

static void look_at_memory(void)
{
    size_t memory = load_memory_bytes();
    int64_t live = watch_live();
    size_t limit;

    if (live > 0 && (size_t)live > atomic_load(&live_peak))
        atomic_store(&live_peak, (size_t)live);
    if (memory > atomic_load(&memory_peak))
        atomic_store(&memory_peak, memory);
    limit = memory_base + (size_t)(watch.rss_factor * (double)atomic_load(&live_peak)) +
            watch.rss_slack_bytes + atomic_load(&memory_allowed);
    if (LOAD_MEMORY_JUDGED && memory > limit)
        load_fail(NULL,
                  "%s is %zu MiB; at most %zu MiB were expected (%zu at the start, "
                  "peak of live bytes %zu)",
                  LOAD_MEMORY, memory / MIB, limit / MIB, memory_base / MIB,
                  atomic_load(&live_peak) / MIB);
}

static void look_at_progress(uint64_t *moved_ns)
{
    uint64_t now = load_now_ns();
    uint64_t stall_ns = (uint64_t)(watch.stall_seconds * 1e9);
    unsigned high = atomic_load(&slots_high);
    bool any_used = false;

    for (unsigned i = 0; i < high; i++) {
        struct worker *w = &slots[i];
        uint64_t steps = atomic_load(&w->steps);

        if (!atomic_load(&w->used))
            continue;
        any_used = true;
        if (steps != w->steps_seen || w->still_since_ns == 0) {
            w->steps_seen = steps;
            w->still_since_ns = now;
            *moved_ns = now;
        } else if (atomic_load(&w->op) != NULL && now - w->still_since_ns > stall_ns) {
            load_fail(NULL, "worker %s hangs in %s for %.0f s", w->name, atomic_load(&w->op),
                      watch.stall_seconds);
        }
    }
    if (!any_used)
        *moved_ns = now;
    if (now - *moved_ns > stall_ns)
        load_fail(NULL, "no worker made a step for %.0f s", watch.stall_seconds);
}

static void *watchdog_body(void *arg)
{
    uint64_t moved_ns = load_now_ns();
    unsigned periods = 0;

    (void)arg;
    while (atomic_load(&watching)) {
        struct timespec pause = { 0, WATCH_PERIOD_NS };

        nanosleep(&pause, NULL);
        look_at_memory();
        if (++periods % WATCH_PERIODS_PER_LOOK == 0)
            look_at_progress(&moved_ns);
    }
    return NULL;
}

// fork leaves the child without the other threads: its failures must not ask them.
static void on_fork_child(void)
{
    atomic_store(&watching, false);
}

void watch_catch(void)
{
    void *frames[2];
    struct sigaction action = { .sa_handler = on_dump_signal, .sa_flags = SA_RESTART };

    backtrace(frames, 2); // loads what it needs now, not in the handler
    sigaction(WATCH_SIGNAL, &action, NULL);
}

void watch_start(const struct run *r)
{
    watch_catch();
    pthread_atfork(NULL, NULL, on_fork_child);
    whole = r;
    memory_base = load_memory_bytes();
    atomic_store(&watching, true);
    watchdog = load_thread_start(watchdog_body, NULL);
}

void watch_end(void)
{
    atomic_store(&watching, false);
    pthread_join(watchdog, NULL);
    look_at_memory();
}

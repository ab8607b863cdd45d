// load.h: what every stress load is made of: a run, its workers, their blocks.
//
// A load is a function that drives the public interface from many threads until its time is over
// or its count is reached. It says what it does through three things:
//   struct run     one execution of one load: its parameters, its clock, its counters
//   struct worker  one thread of it: random numbers, progress that the watchdog reads, a name
//   struct block   one block in the hands of the load, with the tag that its contents must show
// Everything that goes wrong ends in load_fail: one message, the command that repeats it, abort.
//
// LOAD_PEER=1 builds the same loads against the standard names (malloc, ...), for comparison with
// other allocators and for LD_PRELOAD of ours.
#ifndef STRESS_LOAD_H
#define STRESS_LOAD_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../src/hakmem.h"
#include "peer.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

#if defined(__has_feature)
#define LOAD_HAS_FEATURE(x) __has_feature(x)
#else
#define LOAD_HAS_FEATURE(x) 0
#endif
#if defined(__SANITIZE_THREAD__) || LOAD_HAS_FEATURE(thread_sanitizer)
#define LOAD_TSAN 1
#else
#define LOAD_TSAN 0
#endif
#if defined(__SANITIZE_ADDRESS__) || LOAD_HAS_FEATURE(address_sanitizer)
#define LOAD_ASAN 1
#else
#define LOAD_ASAN 0
#endif
#if defined(HAK_VALGRIND)
#define LOAD_VALGRIND 1
#else
#define LOAD_VALGRIND 0
#endif
#define LOAD_SANITIZER (LOAD_TSAN || LOAD_ASAN || LOAD_VALGRIND)

// An amount of live memory or of work, less where the flavour is slow or the arena small.
#define LOAD_BUDGET(n) ((n) / (GEOMETRY_SMALL ? 16 : LOAD_SANITIZER ? 4 : 1))

// The hardened flavour puts off the reuse of blocks while their thread lives: of up to 384 small
// ones, each of which may keep a unit of its own.
#define LOAD_PUT_OFF_BYTES (HAK_MITIGATIONS != 0 ? 384 * 64 * KIB : (size_t)0)

struct run;

struct load {
    const char *name;
    const char *help;      // one line for --list
    const char *arguments; // positional arguments, "" for none
    unsigned threads;      // default
    void (*run)(struct run *r);
    // Runs a part of the load in a process of its own: `--role TEXT`. NULL: the load has none.
    int (*role)(struct run *r, const char *text);
};

struct run {
    // set before the load starts
    const struct load *load;
    unsigned threads;
    double seconds;
    uint64_t count_max; // stop after so many lives, forks, failures; 0: time decides
    uint64_t seed;
    bool alone;      // nothing else runs in this process: its RSS may be judged
    const char *csv; // soak: file of samples, or NULL
    int argc;        // positional arguments
    char **argv;
    // any thread
    _Atomic uint64_t deadline_ns;
    _Atomic bool stopped;
    _Atomic uint64_t count; // lives, forks, failures, ... so far
    _Atomic uint64_t ops;   // of workers that have ended
    char note[512];         // figures of the load for the summary line
};

extern const struct load load_larson, load_xfree, load_threads, load_fork, load_realloc, load_align,
    load_huge, load_oom, load_frag, load_reuse, load_purge, load_soak, load_calls;
// All of them, ended by NULL.
extern const struct load *const loads[];

// ---- run ----

uint64_t load_now_ns(void); // monotonic
// Whether the load should end: its time is over or its count reached.
bool load_over(struct run *r);
// Writes the seed of `r` as an argument of this program; may be called in a forked child.
#define LOAD_SEED_TEXT_BYTES 24
char *load_seed_text(uint64_t seed, char *text);
// Starts the clock of `r`: its deadline is r->seconds from now.
void load_clock_start(struct run *r);
// Appends to the summary line of the load.
void load_note(struct run *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
// The audit of the whole heap: `live` blocks must be handed out, of all tiers together. The caller
// knows that nobody else is in the allocator. Does nothing for peers, which have no audit.
void load_audit(const char *when, uint64_t live);
// Waits until the threads of this process are no more than `threads` (detached ones have ended).
void load_wait_threads(unsigned threads);
unsigned load_count_threads(void);
// The path of this program. (Not /proc/self/exe: under Valgrind that is Valgrind.)
const char *load_self(void);
// Waits for a process; returns its wait status. Fails with its stack, if it has called watch_catch,
// when it stands still or uses processor time without end. `what` names it.
int load_wait(pid_t pid, const char *what);
// Starts this program again with `argv` (ended by NULL) and waits for it.
int load_spawn(char *const argv[]);
// The same for `stress LOAD --role TEXT` with the seed of `r`.
int load_spawn_role(const struct run *r, const char *name, const char *text);
size_t load_rss_bytes(void);
// Memory that the allocator holds: RSS; under a sanitizer, whose shadow is part of RSS and stays,
// what the allocator's statistics call committed.
size_t load_memory_bytes(void);
#define LOAD_MEMORY (LOAD_SANITIZER ? "committed" : "RSS")
// Whether a bound on memory can fail: not for peers, which are only compared.
#define LOAD_MEMORY_JUDGED (!LOAD_PEER)

// ---- random numbers (splitmix64, Steele et al., 2014) ----

struct rng {
    uint64_t state;
};

static inline uint64_t rng_next(struct rng *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

// 0 to n - 1; n is at least 1 and below 2^32.
static inline uint64_t rng_below(struct rng *r, uint64_t n)
{
    return ((rng_next(r) >> 32) * n) >> 32;
}

// lo to hi, both included, uniform.
static inline size_t rng_between(struct rng *r, size_t lo, size_t hi)
{
    return lo + (size_t)rng_below(r, hi - lo + 1);
}

// lo to hi, each doubling equally likely. 1 <= lo <= hi.
size_t rng_log_between(struct rng *r, size_t lo, size_t hi);

// ---- workers ----

struct worker {
    // written by its thread, read by the watchdog
    _Alignas(64) _Atomic uint64_t steps;
    _Atomic uint64_t ops;
    _Atomic int64_t live_bytes; // taken or asked for, less given, by this thread
    _Atomic uint64_t serial;    // blocks taken through this slot so far
    _Atomic(const char *) op;   // the call it is in, NULL outside of the allocator
    _Atomic bool used;
    // its thread only
    struct run *run;
    struct rng rng;
    unsigned full_every; // one block of so many gets the full pattern
    bool null_allowed;   // exhaustion is part of the load
    unsigned id;
    uint64_t nulls; // allocations that returned NULL
    char name[24];
    pthread_t thread;
    // watchdog writes
    uint64_t steps_seen;
    _Atomic uint64_t still_since_ns;
};

#define LOAD_WORKERS_MAX 4096u

// Makes the calling thread a worker. `index` seeds its random numbers together with the run.
struct worker *worker_begin(struct run *r, const char *name, uint64_t index);
void worker_end(struct worker *w);
// Says to the watchdog what the thread is doing; NULL: nothing that may hang.
static inline void worker_op(struct worker *w, const char *op)
{
    atomic_store_explicit(&w->op, op, memory_order_relaxed);
}
static inline void worker_step(struct worker *w)
{
    uint64_t n = atomic_load_explicit(&w->steps, memory_order_relaxed);
    atomic_store_explicit(&w->steps, n + 1, memory_order_relaxed);
}

// Starts `n` threads of `body` with arguments args[i * size], waits for all of them.
void load_threads_run(unsigned n, void *(*body)(void *), void *args, size_t size);
pthread_t load_thread_start(void *(*body)(void *), void *arg);

// ---- watchdog (watch.c) ----

struct watch_settings {
    double stall_seconds; // no progress for so long is a hang
    double rss_factor;    // memory may reach base + factor * peak of live bytes + slack
    size_t rss_slack_bytes;
};
extern struct watch_settings watch;
void watch_start(const struct run *r);
// This signal makes a thread write its stack to standard error, once watch_catch was called.
#define WATCH_SIGNAL SIGUSR2
void watch_catch(void);
// Writes the calling thread's stack to standard error; for signal handlers.
void watch_write_stack(void);
void watch_end(void);
size_t watch_memory_peak(void);
size_t watch_live_peak(void);
uint64_t watch_ops(void); // of the workers that are alive
int64_t watch_live(void);
// Extra memory that a load needs for its own books and says so (arrays, stacks).
void watch_allow(size_t bytes);

// ---- blocks (block.c) ----

// Contents: the first word is the tag, the last its complement; every `full_every`-th block is
// filled (see block.c). Blocks below 16 bytes hold the tag's bytes. So whatever lies in a block
// tells whose it is.
struct block {
    unsigned char *p; // NULL: none
    size_t n;
    uint64_t tag;
};

// Each fails the load on any wrong result. False only when w->null_allowed and NULL came back.
bool block_take(struct worker *w, struct block *b, size_t n);
bool block_take_zeroed(struct worker *w, struct block *b, size_t n);
bool block_take_aligned(struct worker *w, struct block *b, size_t align, size_t n);
bool block_resize(struct worker *w, struct block *b, size_t n); // 1 <= n
void block_check(struct worker *w, const struct block *b, const char *when);
void block_give(struct worker *w, struct block *b); // checks, frees, b->p = NULL
// Adopts memory that the load allocated by a call of its own: tags it.
void block_adopt(struct worker *w, struct block *b, void *p, size_t n);
// Chances that the allocator had to give memory back: slow calls, each as long after the last as
// free memory stays committed. Counted, not timed, so that a busy machine changes nothing.
struct chances {
    uint64_t last_ns;
    unsigned n;
};
// Makes a slow call and rests for some milliseconds.
void load_chance(struct worker *w, struct chances *c);
// A block of a size most programs ask for: many small, few large.
size_t block_common_size(struct rng *r);

// ---- failure ----

// Prints the message, who said it, and how to repeat it; dumps all threads; aborts. w may be NULL.
_Noreturn void load_fail(const struct worker *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
// calloc of the harness itself, from the C library (not the allocator under test).
void *load_books(size_t count, size_t size);

#endif

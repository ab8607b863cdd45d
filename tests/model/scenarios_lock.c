// scenarios_lock.c: the mutex of src/seam/lock.c, which the sched build replaces everywhere else.
//
// rules.mk compiles that file over the scheduler's atomics, with its calls of the kernel's futex
// named model_futex. `payload` stands for what a holder of the lock did under it.
#include "scenarios.h"

#include <linux/futex.h>
#include <stdarg.h>
#include <string.h>

#include <seam/lock.h>

#include "explore.h"

long model_futex(long number, ...);

struct lock scenario_lock = LOCK_INIT(RANK_HEAPS);
static uint32_t payload, holders, rounds;
static bool asleep[SCHED_THREADS_MAX];

static const struct sched_site write_payload = { .name = "payload",
                                                 .kind = EVENT_STORE,
                                                 .bytes = 4 };
static const struct sched_site read_payload = { .name = "payload", .kind = EVENT_LOAD, .bytes = 4 };

static bool is_awake(void *arg)
{
    return !*(const bool *)arg;
}

// The kernel looks at the newest value, and sleeps or wakes in one step.
long model_futex(long number, ...)
{
    static const struct sched_site look = { .name = "futex", .kind = EVENT_UPDATE, .bytes = 4 };
    static const struct sched_site sleep = { .name = "asleep", .kind = EVENT_WAIT };
    uint32_t t = sched_current();
    va_list args;
    va_start(args, number);
    uint32_t *word = va_arg(args, uint32_t *);
    int operation = va_arg(args, int);
    uint32_t value = va_arg(args, uint32_t);
    va_end(args);
    uint32_t seen = (uint32_t)sched_update(&look, word, UPDATE_OR, 0);
    if (operation == FUTEX_WAIT_PRIVATE) {
        asleep[t] = seen == value;
        if (asleep[t])
            sched_wait(&sleep, is_awake, &asleep[t]);
        return 0;
    }
    for (uint32_t u = 0; u < SCHED_THREADS_MAX; u++)
        if (asleep[u]) {
            asleep[u] = false;
            return 1;
        }
    return 0;
}

static void setup_lock(void *arg)
{
    (void)arg;
    scenario_lock = (struct lock)LOCK_INIT(RANK_HEAPS);
    payload = holders = rounds = 0;
    memset(asleep, 0, sizeof asleep);
}

static void hold_lock(void *arg, uint32_t t)
{
    (void)arg, (void)t;
    hak_lock_acquire(&scenario_lock);
    if (holders++ != 0)
        sched_fail("check", "two threads hold the lock");
    if (sched_load(&read_payload, &payload) != rounds)
        sched_fail("check", "the last holder is not done");
    sched_store(&write_payload, &payload, ++rounds);
    holders--;
    hak_lock_release(&scenario_lock);
}

static const char *lock_is_free(void *arg)
{
    (void)arg;
    return scenario_lock.state.raw == 0 ? NULL : "the lock is not free at the end";
}

const struct scenario lock_scenarios[] = {
    { "lock x lock", "two threads take the mutex of seam/lock.c, write, give it back", 2,
      SEARCH_UNBOUNDED, setup_lock, hold_lock, lock_is_free, false },
    { "lock x lock x lock", "three threads; spinning is one turn, then the kernel's queue", 3,
      SEARCH_UNBOUNDED, setup_lock, hold_lock, lock_is_free, false },
    { 0 },
};

// model.c: store histories and vector clocks.
//
// Algorithm: the operational fragment of C11 in which modification order is the order of
// execution, with per-location store buffers (Lidbury and Donaldson, "Dynamic Race Detection for
// C++11", POPL 2017) and SC fences as a clock of their own; release sequences as in C++20.
//
//   per thread   now      C: what happened before its next operation
//                visible  V: C and what SC fences showed it; loads may not go behind it
//                pending  clocks of stores read by relaxed loads, learned at an acquire fence
//                fenced   C at its last release fence
//   per location a ring of its newest MEMORY_HISTORY stores, in modification order
//   global       sc_fences: what all SC fences up to now have shown
//
//   newest <------ readable ------>| stop
//   [s7] [s6] [s5] [s4] [s3] ...     at the first store that the thread must already know: by
//                                    happens-before, by a load it or its past made, or by SC
//
// Invariants: C <= V in every thread; a cell in memory equals the newest store of its location; a
// store's time is unique in its thread. A cell whose memory differs was written without the seam:
// the execution fails.
//
// Tables are static and cleared by their epoch, so that a reset costs nothing.
#include "model.h"

#include <string.h>

#include "races.h"
#include "scheduler.h"

#define TOKENS_MAX 65536u
#define LOCATIONS_MAX 4096u // in one execution
#define TABLE_SIZE 8192u    // a power of two, twice as many

struct memory_thread {
    struct vclock now, visible, pending, fenced;
    uint32_t fence_number; // position of its last SC fence among the SC operations
    uint32_t stale_run;
    uint16_t yields;
};

static struct {
    struct location locations[LOCATIONS_MAX]; // in the order of first touch: few pages are in use
    struct {
        uintptr_t address;
        uint32_t epoch; // of the execution in which it was touched
        uint32_t index;
    } table[TABLE_SIZE];
    struct memory_thread threads[SCHED_THREADS_MAX];
    struct vclock sc_fences;
    uint32_t thread_count; // the clocks' other entries are 0
    uint32_t sc_count;
    uint32_t epoch;
    uint32_t location_count;
    uint32_t token_count;
    char tokens[RACES_CHECKED ? TOKENS_MAX : 1];
} m; // epoch 0 is that of no execution

static void join(struct vclock *to, const struct vclock *from)
{
    for (uint32_t i = 0; i < SCHED_THREADS_MAX; i++)
        to->at[i] = to->at[i] > from->at[i] ? to->at[i] : from->at[i];
}

void memory_reset(uint32_t threads)
{
    m.thread_count = threads;
    memset(m.threads, 0, sizeof m.threads);
    memset(&m.sc_fences, 0, sizeof m.sc_fences);
    m.sc_count = 0;
    m.location_count = 0;
    m.token_count = 0;
    if (++m.epoch == 0) { // wrapped: entries of 2^32 executions ago would seem alive
        memset(m.table, 0, sizeof m.table);
        m.epoch = 1;
    }
}

static uint64_t raw_value(uintptr_t address, uint32_t bytes)
{
    switch (bytes) {
    case 1:
        return *(const uint8_t *)address;
    case 4:
        return *(const uint32_t *)address;
    default:
        return *(const uint64_t *)address;
    }
}

static void set_raw_value(uintptr_t address, uint32_t bytes, uint64_t value)
{
    switch (bytes) {
    case 1:
        *(uint8_t *)address = (uint8_t)value;
        break;
    case 4:
        *(uint32_t *)address = (uint32_t)value;
        break;
    default:
        *(uint64_t *)address = value;
        break;
    }
}

const struct store *memory_newest(const struct location *l)
{
    return &l->history[(l->stores - 1) % MEMORY_HISTORY];
}

// A new life of the cell, too, after the page was forgotten.
static struct location *begin_location(struct location *l, uintptr_t address, uint32_t bytes)
{
    l->address = address;
    l->bytes = bytes;
    l->stores = 1;
    memset(l->looks, 0, sizeof l->looks);
    l->history[0] = (struct store){ .value = raw_value(address, bytes) };
    return l;
}

static struct location *first_touch(uint32_t i, uintptr_t address, uint32_t bytes)
{
    if (m.location_count == LOCATIONS_MAX)
        sched_fail("harness", "more than %u atomic cells in one execution", LOCATIONS_MAX);
    m.table[i].address = address;
    m.table[i].epoch = m.epoch;
    m.table[i].index = m.location_count;
    struct location *l = &m.locations[m.location_count];
    l->index = m.location_count++;
    return begin_location(l, address, bytes);
}

struct location *memory_at(const void *cell, uint32_t bytes)
{
    uintptr_t address = (uintptr_t)cell;
    uint64_t hash = (uint64_t)address * UINT64_C(0x9e3779b97f4a7c15);
    uint32_t i = (uint32_t)(hash >> 40) % TABLE_SIZE;
    while (m.table[i].epoch == m.epoch && m.table[i].address != address)
        i = (i + 1) % TABLE_SIZE;
    if (m.table[i].epoch != m.epoch)
        return first_touch(i, address, bytes);
    struct location *l = &m.locations[m.table[i].index];
    if (l->stores == 0)
        return begin_location(l, address, bytes);
    if (l->bytes != bytes)
        sched_fail("harness", "atomic cell %p used with %u and with %u bytes", cell, l->bytes,
                   bytes);
    if (memory_newest(l)->value != raw_value(address, bytes))
        sched_fail("unmarked write", "cell %p holds %#llx, its last atomic store was %#llx", cell,
                   (unsigned long long)raw_value(address, bytes),
                   (unsigned long long)memory_newest(l)->value);
    return l;
}

void memory_tick(uint32_t thread)
{
    struct memory_thread *t = &m.threads[thread];
    if (++t->now.at[thread] == 0)
        sched_fail("harness", "thread %u made more than %u operations", thread, UINT16_MAX);
    t->visible.at[thread] = t->now.at[thread];
}

// True if the thread may not read anything older than `s`.
static bool is_oldest_readable(uint32_t thread, const struct store *s, uint32_t order)
{
    const struct memory_thread *t = &m.threads[thread];
    if (s->time == 0 || t->visible.at[s->thread] >= s->time)
        return true;
    for (uint32_t u = 0; u < m.thread_count; u++)
        if (s->seen[u] != 0 && t->visible.at[u] >= s->seen[u])
            return true;
    // ISO C11, 7.17.3: 29.3p5 of C++11 for the load after a fence, p3 and p4 for SC loads.
    if (s->sc_number != 0 && ((order & ORDER_SC) || s->sc_number < t->fence_number))
        return true;
    return (order & ORDER_SC) && m.sc_fences.at[s->thread] >= s->time;
}

uint32_t memory_readable(uint32_t thread, const struct location *l, uint32_t order)
{
    const struct memory_thread *t = &m.threads[thread];
    const struct look *look = &l->looks[thread];
    if (t->stale_run >= MEMORY_STALE_MAX)
        return 1;
    uint32_t kept = l->stores < MEMORY_HISTORY ? l->stores : MEMORY_HISTORY;
    if (look->turn != 0 && look->turn <= t->yields) {
        uint32_t since = (uint16_t)(l->stores - look->stores);
        kept = since + 1 < kept ? since + 1 : kept;
    }
    uint32_t n = 1;
    while (n < kept &&
           !is_oldest_readable(thread, &l->history[(l->stores - n) % MEMORY_HISTORY], order))
        n++;
    return n;
}

static void learn(struct memory_thread *t, const struct store *s, uint32_t order)
{
    if (order & ORDER_ACQUIRE) {
        join(&t->now, &s->release);
        join(&t->visible, &s->release);
        if (s->token != NULL)
            races_acquire(s->token);
    } else {
        join(&t->pending, &s->release);
    }
}

const struct store *memory_read(uint32_t thread, struct location *l, uint32_t back, uint32_t order)
{
    struct memory_thread *t = &m.threads[thread];
    struct store *s = &l->history[(l->stores - 1 - back) % MEMORY_HISTORY];
    t->stale_run = back == 0 ? 0 : t->stale_run + 1;
    l->looks[thread] = (struct look){ .turn = t->yields + 1, .stores = (uint16_t)l->stores };
    if (s->seen[thread] == 0)
        s->seen[thread] = t->now.at[thread];
    learn(t, s, order);
    return s;
}

static char *new_token(void)
{
    if (m.token_count == TOKENS_MAX)
        sched_fail("harness", "more than %u releases in one execution", TOKENS_MAX);
    return &m.tokens[m.token_count++];
}

// `token`: that of the release sequence which the store continues, or NULL.
static void write_store(uint32_t thread, struct location *l, uint64_t value, uint32_t order,
                        uint32_t site, char *token)
{
    const struct memory_thread *t = &m.threads[thread];
    struct store *s = &l->history[l->stores++ % MEMORY_HISTORY];
    s->value = l->bytes == 8 ? value : value & ((UINT64_C(1) << 8 * l->bytes) - 1);
    s->sc_number = order & ORDER_SC ? ++m.sc_count : 0;
    s->thread = (uint8_t)thread;
    s->time = t->now.at[thread];
    s->site = (uint16_t)site;
    s->release = order & ORDER_RELEASE ? t->now : t->fenced;
    memset(s->seen, 0, sizeof s->seen);
    s->token = token;
    if (RACES_CHECKED && (order & ORDER_RELEASE)) {
        if (token == NULL)
            s->token = new_token();
        races_release(s->token);
    }
    set_raw_value(l->address, l->bytes, value);
}

void memory_write(uint32_t thread, struct location *l, uint64_t value, uint32_t order,
                  uint32_t site)
{
    write_store(thread, l, value, order, site, NULL);
}

void memory_update(uint32_t thread, struct location *l, uint64_t value, uint32_t order,
                   uint32_t site)
{
    struct memory_thread *t = &m.threads[thread];
    const struct store *old = memory_newest(l);
    struct vclock sequence = old->release; // a release sequence goes on through an update
    char *token = old->token;
    t->stale_run = 0;
    learn(t, old, order);
    write_store(thread, l, value, order, site, token);
    join(&l->history[(l->stores - 1) % MEMORY_HISTORY].release, &sequence);
}

void memory_fence(uint32_t thread, uint32_t order)
{
    struct memory_thread *t = &m.threads[thread];
    if (order & ORDER_ACQUIRE) {
        join(&t->now, &t->pending);
        join(&t->visible, &t->pending);
    }
    if (order & ORDER_SC) { // shows stores, does not order plain accesses: V only
        join(&t->visible, &m.sc_fences);
        m.sc_fences = t->visible;
        t->fence_number = ++m.sc_count;
    }
    if (order & ORDER_RELEASE)
        t->fenced = t->now;
}

void memory_yield(uint32_t thread)
{
    m.threads[thread].yields++;
}

struct vclock memory_publish(uint32_t thread)
{
    return m.threads[thread].now;
}

void memory_learn(uint32_t thread, const struct vclock *published)
{
    join(&m.threads[thread].now, published);
    join(&m.threads[thread].visible, published);
}

void memory_forget(const void *p, size_t bytes)
{
    uintptr_t begin = (uintptr_t)p;
    for (uint32_t i = 0; i < m.location_count; i++) {
        struct location *l = &m.locations[i];
        if (l->address - begin < bytes)
            l->stores = 0;
    }
}

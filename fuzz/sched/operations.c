// operations.c: what each event does: atomics on the model of memory, locks, waiting, system calls.
//
// Every function has the same shape: outside of an execution it acts on memory directly; inside, it
// passes the scheduling point, then takes effect at once, then leaves a record in the trace. While
// the harness looks (quiet), loads read memory and nothing is chosen.
//
// A failed compare-and-swap reads the newest store. C11 would allow it an older one that differs
// from the expected value: a retry loop gains nothing from that but turns.
#include "core.h"

#include <string.h>

#include "races.h"

static uint32_t order_of(const struct sched_site *at, uint32_t order)
{
    sched_site_used[at->id] |= (uint8_t)(SITE_USED | order);
    return order & sched_order_mask[at->id];
}

static uint64_t raw_load(const void *cell, uint32_t bytes)
{
    // No call of memcpy: a race detector would take that for a plain access of the thread.
    return bytes == 1   ? *(const uint8_t *)cell
           : bytes == 4 ? *(const uint32_t *)cell
                        : *(const uint64_t *)cell;
}

static struct location *cell_at(const struct sched_site *at, const void *cell)
{
    if (!(at->order & ORDER_PLAIN))
        races_atomic(cell, at->bytes);
    else if (at->kind == EVENT_STORE)
        races_write((void *)(uintptr_t)cell, at->bytes);
    else
        races_read((void *)(uintptr_t)cell, at->bytes);
    return memory_at(cell, at->bytes);
}

// Apart from its caller, which is called for each cell that the oracle looks at.
__attribute__((noinline)) static uint64_t load_in_turn(const struct sched_site *at,
                                                       const void *cell)
{
    core_point(at, (uintptr_t)cell);
    struct location *l = cell_at(at, cell);
    uint32_t order = order_of(at, at->order);
    uint32_t n = memory_readable(core.current, l, order);
    uint32_t back = n > 1 ? core_choose(CHOICE_READ, n) : 0;
    const struct store *from = memory_read(core.current, l, back, order);
    if (sched_reads_from != NULL)
        sched_reads_from(at->id, from->site);
    core_record(at, l, (uintptr_t)cell, from->value, 0, back, false);
    return from->value;
}

uint64_t sched_load(const struct sched_site *at, const void *cell)
{
    return core.running && core.quiet == 0 ? load_in_turn(at, cell) : raw_load(cell, at->bytes);
}

void sched_store(const struct sched_site *at, void *cell, uint64_t value)
{
    if (!core.running) {
        memcpy(cell, &value, at->bytes);
        return;
    }
    core_point(at, (uintptr_t)cell);
    struct location *l = cell_at(at, cell);
    memory_write(core.current, l, value, order_of(at, at->order), at->id);
    core_record(at, l, (uintptr_t)cell, value, 0, 0, false);
}

static uint64_t updated(uint64_t old, enum sched_update how, uint64_t operand)
{
    switch (how) {
    case UPDATE_OR:
        return old | operand;
    case UPDATE_AND:
        return old & operand;
    case UPDATE_ADD:
        return old + operand;
    case UPDATE_SUB:
        return old - operand;
    default:
        return operand;
    }
}

uint64_t sched_update(const struct sched_site *at, void *cell, enum sched_update how,
                      uint64_t operand)
{
    if (!core.running) {
        uint64_t old = raw_load(cell, at->bytes);
        uint64_t value = updated(old, how, operand);
        memcpy(cell, &value, at->bytes);
        return old;
    }
    core_point(at, (uintptr_t)cell);
    struct location *l = cell_at(at, cell);
    const struct store *newest = memory_newest(l);
    uint64_t old = newest->value;
    uint64_t value = updated(old, how, operand);
    if (sched_reads_from != NULL)
        sched_reads_from(at->id, newest->site);
    memory_update(core.current, l, value, order_of(at, at->order), at->id);
    core_record(at, l, (uintptr_t)cell, memory_newest(l)->value, old, 0, false);
    return old;
}

// A weak compare-and-swap may fail although the values are equal, but not for ever.
static bool fails_spuriously(const struct sched_site *at)
{
    struct sched_thread *t = &core.threads[core.current];
    if (at->kind != EVENT_CAS_WEAK || t->spurious_run == SPURIOUS_FAILURES_MAX ||
        core_choose(CHOICE_CAS, 2) == 0) {
        t->spurious_run = 0;
        return false;
    }
    t->spurious_run++;
    t->excused = true;
    return true;
}

bool sched_cas(const struct sched_site *at, void *cell, uint64_t *expected, uint64_t desired)
{
    if (!core.running) {
        uint64_t old = raw_load(cell, at->bytes);
        bool equal = old == *expected;
        if (equal)
            memcpy(cell, &desired, at->bytes);
        *expected = old;
        return equal;
    }
    core_point(at, (uintptr_t)cell);
    struct location *l = cell_at(at, cell);
    const struct store *newest = memory_newest(l);
    uint64_t old = newest->value;
    if (sched_reads_from != NULL)
        sched_reads_from(at->id, newest->site);
    bool success = old == *expected && !fails_spuriously(at);
    if (success)
        memory_update(core.current, l, desired, order_of(at, at->order), at->id);
    else
        memory_read(core.current, l, 0, order_of(at, at->failure_order));
    *expected = old;
    core_record(at, l, (uintptr_t)cell, success ? desired : old, old, 0, !success);
    return success;
}

void sched_init_cell(void *cell, uint32_t bytes, uint64_t value)
{
    if (core.running)
        memory_write(core.current, memory_at(cell, bytes), value, 0, 0);
    else
        memcpy(cell, &value, bytes);
}

void sched_fence(const struct sched_site *at)
{
    if (!core.running)
        return;
    core_point(at, 0);
    memory_fence(core.current, order_of(at, at->order));
    core_record(at, NULL, 0, 0, 0, 0, false);
}

void sched_lock(const struct sched_site *at, void *word, uint32_t rank)
{
    if (!core.running) {
        if (*(uint32_t *)word != 0)
            sched_fail("lock", "taken twice outside of an execution");
        *(uint32_t *)word = 1;
        return;
    }
    struct sched_thread *t = &core.threads[core.current];
    if (t->locks_held != 0 && t->ranks_held[t->locks_held - 1] >= rank)
        sched_fail("lock rank", "rank %u is taken with rank %u held, at %s:%u", rank,
                   t->ranks_held[t->locks_held - 1], at->file, at->line);
    if (t->locks_held == RANKS_HELD_MAX)
        sched_fail("lock rank", "more than %u locks held", RANKS_HELD_MAX);
    core_point(at, (uintptr_t)word);
    struct location *l = memory_at(word, at->bytes);
    memory_update(core.current, l, 1, order_of(at, ORDER_ACQUIRE), at->id);
    t->ranks_held[t->locks_held++] = rank;
    core_record(at, l, (uintptr_t)word, 1, 0, 0, false);
}

void sched_unlock(const struct sched_site *at, void *word, uint32_t rank)
{
    if (!core.running) {
        *(uint32_t *)word = 0;
        return;
    }
    core_point(at, (uintptr_t)word);
    struct sched_thread *t = &core.threads[core.current];
    if (t->locks_held == 0 || t->ranks_held[t->locks_held - 1] != rank)
        sched_fail("lock", "rank %u is given back, but is not the last one taken", rank);
    t->locks_held--;
    struct location *l = memory_at(word, at->bytes);
    memory_write(core.current, l, 0, order_of(at, ORDER_RELEASE), at->id);
    core_record(at, l, (uintptr_t)word, 0, 0, 0, false);
}

void sched_yield_point(const struct sched_site *at)
{
    if (!core.running || core.quiet)
        return;
    core_point(at, 0);
    memory_yield(core.current);
    struct sched_thread *t = &core.threads[core.current];
    if (!t->excused) {
        core.yielding |= core.spun & 1u << core.current;
        core.spun |= 1u << core.current;
    }
    t->excused = false;
    core_record(at, NULL, 0, 0, 0, 0, false);
}

bool sched_system_call(const struct sched_site *at, const void *p, uint64_t value, bool can_fail)
{
    if (!core.running)
        return false;
    core_point(at, (uintptr_t)p);
    bool fails = can_fail && core_choose(CHOICE_OS, 2);
    core_record(at, NULL, (uintptr_t)p, value, 0, 0, fails);
    return fails;
}

void sched_wait(const struct sched_site *at, bool (*ready)(void *), void *arg)
{
    if (!core.running)
        sched_fail("harness", "sched_wait outside of an execution");
    core.threads[core.current].ready = ready;
    core.threads[core.current].ready_arg = arg;
    core_point(at, 0);
    core_record(at, NULL, 0, 0, 0, 0, false);
}

void sched_note(uint64_t note)
{
    static const struct sched_site at = { .name = "note", .kind = EVENT_NOTE };
    if (core.running)
        core_record(&at, NULL, 0, note, 0, 0, false);
}

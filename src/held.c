// held.c: a queue of runs of units, per heap.
//
//   freed -> |PROT_NONE, no memory, record LARGE or HUGE, live == 0| -> accessible, UNUSED
//
//   units == sum of the lengths;  count == length of the queue;  total == sum over all heaps
//
// Each held block may cost two more mappings of the process: `total` bounds them. A run that the
// kernel does not make accessible again stays the oldest, and is tried again with the next. Under a
// limit on writable memory (RLIMIT_DATA) that needs room, which a block makes when it is held: so a
// block is held first, and older ones are released then. What is held never gets lost.
#include "held.h"

#include <seam/os.h>

#include "pool.h"

static struct atomic_u32 total;

// False if the system refuses.
static bool release_oldest(struct held *held, uint64_t now_ms)
{
    struct slab *s = held->oldest;
    uint32_t unit = hak_slab_unit(s);
    uint32_t units = own_load(&s->units);
    if (!os_commit(hak_slab_base(s), units * UNIT_SIZE))
        return false;
    held->oldest = s->next;
    if (held->oldest == NULL)
        held->newest = NULL;
    s->next = NULL;
    held->count--;
    held->units -= units;
    fetch_add_relaxed(HELD_MINUS, &total, (uint32_t)-1);
    hak_slab_end(s);
    hak_pool_release_huge(unit, units, false, now_ms);
    return true;
}

static bool is_over(const struct held *held, size_t units_max)
{
    return held->count > HELD_BLOCKS_MAX || held->units > units_max;
}

bool hak_held_add(struct held *held, struct slab *s, uint64_t now_ms)
{
    uint32_t units = own_load(&s->units);
    size_t units_max = (hak_arena.bytes >> UNIT_SHIFT) / HELD_ARENA_SHARE;
    if (units > units_max)
        return false;
    if (load_relaxed(HELD_TOTAL, &total) >= HELD_TOTAL_MAX &&
        (held->oldest == NULL || !release_oldest(held, now_ms)))
        return false;
    if (!os_protect_none(hak_slab_base(s), units * UNIT_SIZE))
        return false;
    s->next = NULL;
    if (held->newest != NULL)
        held->newest->next = s;
    else
        held->oldest = s;
    held->newest = s;
    held->count++;
    held->units += units;
    fetch_add_relaxed(HELD_PLUS, &total, 1);
    while (is_over(held, units_max) && release_oldest(held, now_ms))
        ;
    return true;
}

void hak_held_release(struct held *held, uint64_t now_ms)
{
    while (held->oldest != NULL && release_oldest(held, now_ms))
        ;
}

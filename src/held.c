// held.c: a queue of runs of units, per heap.
//
//   freed -> |PROT_NONE, no memory, record LARGE or HUGE, live == 0| -> accessible, UNUSED
//
//   units == sum of the lengths;  added - taken <= HELD_BLOCKS_MAX;  total == sum over all heaps
//
// Each held block may cost two more mappings of the process: `total` bounds them. A run that the
// kernel does not make accessible again stays the oldest, and is tried again with the next.
#include "held.h"

#include <seam/os.h>

#include "pool.h"

static struct atomic_u32 total;

// False if the system refuses.
static bool release_oldest(struct held *held, uint64_t now_ms)
{
    struct slab *s = hak_slab_at(held->unit[held->taken % HELD_BLOCKS_MAX]);
    uint32_t unit = hak_slab_unit(s);
    uint32_t units = own_load(&s->units);
    if (!os_commit(hak_slab_base(s), units * UNIT_SIZE))
        return false;
    held->taken++;
    held->units -= units;
    fetch_add_relaxed(HELD_MINUS, &total, (uint32_t)-1);
    hak_slab_end(s);
    hak_pool_release_huge(unit, units, false, now_ms);
    return true;
}

static bool is_full(const struct held *held, uint32_t units)
{
    size_t units_max = (hak_arena.bytes >> UNIT_SHIFT) / HELD_ARENA_SHARE;
    return hak_held_count(held) == HELD_BLOCKS_MAX || held->units + units > units_max;
}

bool hak_held_add(struct held *held, struct slab *s, uint64_t now_ms)
{
    uint32_t units = own_load(&s->units);
    while (held->added != held->taken && is_full(held, units))
        if (!release_oldest(held, now_ms))
            return false;
    if (is_full(held, units) || load_relaxed(HELD_TOTAL, &total) >= HELD_TOTAL_MAX ||
        !os_protect_none(hak_slab_base(s), units * UNIT_SIZE))
        return false;
    held->unit[held->added++ % HELD_BLOCKS_MAX] = hak_slab_unit(s);
    held->units += units;
    fetch_add_relaxed(HELD_PLUS, &total, 1);
    return true;
}

void hak_held_release(struct held *held, uint64_t now_ms)
{
    while (held->added != held->taken && release_oldest(held, now_ms))
        ;
}

// held.c: a queue of runs of units, per heap.
//
//   freed -> |PROT_NONE, no memory, record LARGE or HUGE, live == 0| -> accessible, UNUSED
//
//   units == sum of the lengths;  total == sum of count over all heaps
//   count is above HELD_BLOCKS_MAX only while the system refuses something
//
// Each held block may cost two more mappings of the process: `total` bounds them. A run that the
// kernel does not make accessible again stays the oldest, and is tried again with the next. Under a
// limit on writable memory (RLIMIT_DATA) that needs room, which a block makes when it is held: so a
// block is held first, and older ones are released then. What is held never gets lost.
#include "held.h"

#include <seam/os.h>
#include <seam/sanitizer.h>

#include "guard.h"
#include "pool.h"

// What slab.place says of a block in a list.
enum { HELD_EMPTY = 0, HELD_KEPT = 1 }; // its memory is gone; its contents are there

static struct atomic_u32 total;

static uint32_t units_of(const struct slab *s)
{
    return hak_slab_lead(s) + own_load(&s->units);
}

static char *base_of(const struct slab *s)
{
    return hak_unit_base(hak_slab_unit(s) - hak_slab_lead(s));
}

// Its memory reads as zero from now on. Returns whether it was given back to the system.
static bool clear(char *base, size_t bytes)
{
    if (os_decommit(base, bytes))
        return true;
    if (FREE_IS_ZERO) {
        sanitize_open(base, bytes);
        __builtin_memset(base, 0, bytes);
    }
    return false;
}

// False if the system refuses.
static bool release_oldest(struct held *held, uint64_t now_ms)
{
    struct slab *s = held->oldest;
    uint32_t units = units_of(s);
    char *base = base_of(s);
    if (!os_commit(base, units * UNIT_SIZE))
        return false;
    held->oldest = s->next;
    if (held->oldest == NULL)
        held->newest = NULL;
    held->count--;
    held->units -= units;
    fetch_add_relaxed(HELD_MINUS, &total, (uint32_t)-1);
    hak_inaccessible_add(-(int64_t)(units * UNIT_SIZE));
    bool is_empty = s->place == HELD_KEPT && !clear(base, units * UNIT_SIZE);
    hak_slab_end(s);
    hak_pool_release_huge(hak_unit_of(base), units, is_empty, now_ms);
    return true;
}

static void append(struct held *held, struct slab *s, uint32_t place)
{
    s->place = place;
    s->next = NULL;
    if (held->newest != NULL)
        held->newest->next = s;
    else
        held->oldest = s;
    held->newest = s;
    held->count++;
    held->units += units_of(s);
    fetch_add_relaxed(HELD_PLUS, &total, 1);
    hak_inaccessible_add((int64_t)(units_of(s) * UNIT_SIZE));
}

static bool is_over(const struct held *held, size_t units_max)
{
    return held->count > HELD_BLOCKS_MAX || held->units > units_max;
}

bool hak_held_add(struct held *held, struct slab *s, uint64_t now_ms)
{
    uint32_t units = units_of(s);
    size_t units_max = (hak_arena.bytes >> UNIT_SHIFT) / HELD_ARENA_SHARE;
    if (units > units_max)
        return false;
    if (load_relaxed(HELD_TOTAL, &total) >= HELD_TOTAL_MAX &&
        (held->oldest == NULL || !release_oldest(held, now_ms)))
        return false;
    if (!os_protect_none(base_of(s), units * UNIT_SIZE))
        return false;
    append(held, s, HELD_EMPTY);
    while (is_over(held, units_max) && release_oldest(held, now_ms))
        ;
    return true;
}

void hak_held_keep(struct held *held, struct slab *s, uint64_t now_ms)
{
    append(held, s, HELD_KEPT);
    while (held->oldest != NULL && held->oldest->place == HELD_KEPT && release_oldest(held, now_ms))
        ;
}

void hak_held_release(struct held *held, uint64_t now_ms)
{
    while (held->oldest != NULL && release_oldest(held, now_ms))
        ;
}

// held.c: a queue of runs of units, per heap, in the order of their frees.
//
//   freed -> |guard|no access, record LARGE or HUGE, live == 0|guard| -> handed out again
//                                                                    or accessible -> the pool
//
//   units == sum of the lengths;  total == sum of count over all heaps
//   warm == units of those with WARM in `free_blocks`, WARM_UNITS_MAX at most;  cold: reads as zero
//   count is above HELD_BLOCKS_MAX only while the system refuses something
//
// Each held block may cost two more mappings of the process: `total` bounds them. A run that the
// kernel does not make accessible again stays the oldest, and is tried again with the next. Under a
// limit on writable memory (RLIMIT_DATA) that needs room, which a block makes when it is held: so a
// block is held first, and older ones are released then. What is held never gets lost.
//
// A block's memory stays, cleared, while it is among the latest; then it is given back, in one
// call, and no access is needed for that. Without the quarantine blocks stay accessible.
//
// A block that serves a shorter request keeps what it had of memory, behind its end, where the
// guard is: a buffer that grows again, as the last one did, needs no new pages.
#include "held.h"

#include <seam/os.h>
#include <seam/sanitizer.h>

#include "fence.h"
#include "guard.h"
#include "pool.h"

// What slab.free_blocks says of a block in a queue: when it was freed, in ms, and whether its
// memory is there; slab.bytes: its end.
#define WARM 1u
// A held block was cleared, and nobody could write to it since.
#define STAYS_ZERO (FREE_IS_ZERO && MITIGATE_QUARANTINE)

static struct atomic_u32 total;

static uint32_t units_of(const struct slab *s)
{
    return hak_slab_lead(s) + own_load(&s->units);
}

static char *base_of(const struct slab *s)
{
    return hak_unit_base(hak_slab_unit(s) - hak_slab_lead(s));
}

static bool is_warm(const struct slab *s)
{
    return (own_load(&s->free_blocks) & WARM) != 0;
}

static size_t bytes_of(const struct slab *s)
{
    return own_load(&s->units) * UNIT_SIZE;
}

// Whether a guard begins at the block's end. If not, what lies behind it may have been written to.
static bool is_guarded(const struct slab *s)
{
    size_t guard = MITIGATE_GUARDS ? own_load(&s->touched) : 0;
    return guard != 0 && own_load(&s->bytes) == bytes_of(s) - guard;
}

// The block, which is accessible, reads as zero from now on. Returns whether memory was given back
// for that.
static bool clear(const struct slab *s)
{
    char *base = hak_slab_base(s);
    if (os_decommit(base, bytes_of(s)))
        return true;
    if (FREE_IS_ZERO) {
        sanitize_open(base, bytes_of(s));
        __builtin_memset(base, 0, bytes_of(s));
    }
    return false;
}

static void make_cold(struct held *held, struct slab *s)
{
    if (!is_warm(s) || !os_decommit(hak_slab_base(s), bytes_of(s)))
        return;
    own_store(&s->free_blocks, own_load(&s->free_blocks) & ~WARM);
    held->warm -= own_load(&s->units);
}

// `before`: the block that was freed before s, or NULL.
static void take_out(struct held *held, struct slab *before, struct slab *s)
{
    if (before != NULL)
        before->next = s->next;
    else
        held->oldest = s->next;
    if (held->newest == s)
        held->newest = before;
    held->count--;
    held->units -= units_of(s);
    held->warm -= is_warm(s) ? own_load(&s->units) : 0;
    fetch_add_relaxed(HELD_MINUS, &total, (uint32_t)-1);
    if (MITIGATE_QUARANTINE)
        hak_inaccessible_add(-(int64_t)own_load(&s->bytes));
}

// False if the system refuses.
static bool release_oldest(struct held *held, uint64_t now_ms)
{
    struct slab *s = held->oldest;
    uint32_t units = units_of(s);
    char *base = base_of(s);
    if (!os_commit(base, units * UNIT_SIZE))
        return false;
    take_out(held, NULL, s);
    bool is_empty = (is_warm(s) || !is_guarded(s)) && !clear(s);
    if (MITIGATE_GUARDS)
        hak_fence_drop(s);
    hak_slab_end(s);
    hak_pool_release_huge(hak_unit_of(base), units, is_empty, now_ms);
    return true;
}

static void append(struct held *held, struct slab *s, size_t end, bool warm, uint64_t now_ms)
{
    s->next = NULL;
    if (held->newest != NULL)
        held->newest->next = s;
    else
        held->oldest = s;
    held->newest = s;
    own_store(&s->bytes, end);
    own_store(&s->free_blocks, ((uint32_t)now_ms & ~WARM) | (warm ? WARM : 0));
    held->count++;
    held->units += units_of(s);
    held->warm += warm ? own_load(&s->units) : 0;
    fetch_add_relaxed(HELD_PLUS, &total, 1);
    if (MITIGATE_QUARANTINE)
        hak_inaccessible_add((int64_t)end);
}

static bool is_over(const struct held *held, size_t units_max)
{
    return held->count > HELD_BLOCKS_MAX || held->units > units_max;
}

// Where memory need not be cleared it may serve anyone.
#define SHARES_WARM (!MITIGATE_QUARANTINE && !FREE_IS_ZERO)

static void bound_warm(struct held *held, uint64_t now_ms)
{
    while (SHARES_WARM && held->warm > HELD_WARM_UNITS && release_oldest(held, now_ms))
        ;
    for (struct slab *s = held->oldest; s != NULL && held->warm > HELD_WARM_UNITS; s = s->next)
        make_cold(held, s);
}

// A block that is not to stay warm loses its memory at once. False if the system refuses.
static bool take_access(char *base, size_t end, bool warm)
{
    if (warm && FREE_IS_ZERO)
        __builtin_memset(base, 0, end);
    if (MITIGATE_QUARANTINE)
        return warm ? os_hide(base, end) : os_protect_none(base, end);
    return warm || os_decommit(base, end);
}

bool hak_held_add(struct held *held, struct slab *s, size_t end, uint64_t now_ms)
{
    size_t units_max = (hak_arena.bytes >> UNIT_SHIFT) / HELD_ARENA_SHARE;
    if (units_of(s) > units_max)
        return false;
    if (load_relaxed(HELD_TOTAL, &total) >= HELD_TOTAL_MAX &&
        (held->oldest == NULL || !release_oldest(held, now_ms)))
        return false;
    bool warm = own_load(&s->units) <= HELD_WARM_UNITS;
    if (SHARES_WARM && !warm)
        return false;
    if (!take_access(hak_slab_base(s), end, warm))
        return false;
    append(held, s, end, warm, now_ms);
    bound_warm(held, now_ms);
    while (is_over(held, units_max) && release_oldest(held, now_ms))
        ;
    return true;
}

void hak_held_keep(struct held *held, struct slab *s, size_t end, uint64_t now_ms)
{
    append(held, s, end, true, now_ms);
    while (held->oldest != NULL && held->oldest->next != NULL && release_oldest(held, now_ms))
        ;
}

// ---- again ----

static bool fits(const struct slab *s, enum slab_state state, uint32_t units, size_t align)
{
    uint32_t has = own_load(&s->units);
    return own_load(&s->state) == state && has >= units && has - units <= HELD_SPARE_UNITS &&
           ((uintptr_t)hak_slab_base(s) & (align - 1)) == 0;
}

// The best that fits: a warm one before a cold one, then the oldest; its predecessor in *before.
static struct slab *find(struct held *held, enum slab_state state, uint32_t units, size_t align,
                         struct slab **before)
{
    struct slab *found = NULL, *previous = NULL;
    for (struct slab *s = held->oldest; s != NULL; previous = s, s = s->next) {
        if (MITIGATE_QUARANTINE && s == held->newest)
            break; // never the one that was freed last
        if (!fits(s, state, units, align) || (found != NULL && is_warm(found) >= is_warm(s)))
            continue;
        found = s;
        *before = previous;
    }
    return found;
}

static bool reopen(struct slab *s, size_t end)
{
    if (!MITIGATE_QUARANTINE)
        return !MITIGATE_GUARDS || hak_fence_move(s, end);
    return MITIGATE_GUARDS ? hak_fence_open(s, end)
                           : os_commit(hak_slab_base(s), max_size(end, own_load(&s->bytes)));
}

// What lies between the end that the block had and the one that it is to have reads as zero from
// now on. False if the system refuses.
static bool clear_behind(struct slab *s, size_t end)
{
    char *base = hak_slab_base(s);
    size_t had = own_load(&s->bytes);
    if (had > end)
        return !is_warm(s) || STAYS_ZERO || os_decommit(base + end, had - end);
    return had == end || is_guarded(s) || os_decommit(base + had, end - had);
}

struct slab *hak_held_take(struct held *held, enum slab_state state, uint32_t units, size_t end,
                           size_t align, bool zero)
{
    struct slab *before = NULL, *s = find(held, state, units, align, &before);
    if (s == NULL || !clear_behind(s, end) || !reopen(s, end))
        return NULL;
    take_out(held, before, s);
    if (is_warm(s) && (zero || FREE_IS_ZERO) && !STAYS_ZERO) {
        sanitize_open(hak_slab_base(s), end);
        __builtin_memset(hak_slab_base(s), 0, min_size(own_load(&s->bytes), end));
    }
    return s;
}

void hak_held_trim(struct held *held, uint64_t now_ms, uint64_t delay_ms)
{
    for (struct slab *s = held->oldest; s != NULL; s = s->next)
        if ((uint32_t)now_ms - (own_load(&s->free_blocks) & ~WARM) > delay_ms)
            make_cold(held, s);
}

void hak_held_release(struct held *held, uint64_t now_ms)
{
    while (held->oldest != NULL && release_oldest(held, now_ms))
        ;
}

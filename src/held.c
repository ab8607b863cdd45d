// held.c: a queue of runs of units, per heap, in the order of their frees.
//
//   freed -> |guard|no access, record LARGE or HUGE, live == 0|guard| -> handed out again
//                                                                    or accessible -> the pool
//
//   units == sum of the lengths;  total == sum of count over all heaps
//   warm == units of those with slab.reached != 0;  total_warm == sum of warm over all heaps
//   count is above HELD_BLOCKS_MAX only while the system refuses something
//
// Each held block may cost three more mappings of the process: `total` bounds them. A run that the
// kernel does not make accessible again stays the oldest, and is tried again with the next. Under a
// limit on writable memory (RLIMIT_DATA) that needs room, which a block makes when it is held: so a
// block is held first, and older ones are released then. What is held never gets lost.
//
// A block's memory stays, cleared, while it is among the latest: where the system can far away, at
// an address that nobody has, else (and under such a limit) in its place, hidden. Then it is given
// back, and no access is needed for that. Without the quarantine blocks stay accessible. What is
// cleared is not looked at again: nobody has a pointer to it.
//
// The block that was freed last is not handed out yet, but its memory may be, at another's place:
// a program with one buffer at a time has memory for one.
//
// A block that serves a shorter request keeps what it had of memory, behind its end, where the
// guard is: a buffer that grows again, as the last one did, needs no new pages.
//
//   |guard|.. end ..|guard: in memory, zero (CLEARS) |guard: reads as zero|
//                                                    ^ reached
#include "held.h"

#include <seam/os.h>
#include <seam/sanitizer.h>

#include "fence.h"
#include "guard.h"
#include "pool.h"

// Of a block in a queue slab.free_blocks says when it was freed, in ms, slab.bytes where its guard
// begins, and the first word of the free bitmap where its memory is meanwhile (os_stow); 0: in its
// place.

// A block is cleared when it is held; with the quarantine nobody can write to it after that.
#define CLEARS (FREE_IS_ZERO || MITIGATE_QUARANTINE)

static struct atomic_u32 total, total_warm;

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
    return own_load(&s->reached) != 0;
}

static size_t bytes_of(const struct slab *s)
{
    return own_load(&s->units) * UNIT_SIZE;
}

// Bytes before its last guard. Those behind its end were to be guarded, and may be written to.
static size_t open_of(const struct slab *s)
{
    return MITIGATE_GUARDS ? hak_fence_open_bytes(s) : bytes_of(s);
}

static char *stowed_of(const struct slab *s)
{
    return (char *)(uintptr_t)own_load(hak_slab_free_word(s, 0));
}

static void set_stowed(const struct slab *s, const char *stowed)
{
    own_store(hak_slab_free_word(s, 0), (uintptr_t)stowed);
}

static void add_warm(struct held *held, const struct slab *s, bool more)
{
    uint32_t units = is_warm(s) ? own_load(&s->units) : 0;
    held->warm += more ? units : -units;
    if (units != 0)
        fetch_add_relaxed(HELD_WARM, &total_warm, more ? units : -units);
}

// Whole pages read as zero from now on. Those that nobody touched or that are swapped out are not
// brought into memory for that.
static void clear_resident(char *p, size_t bytes)
{
    unsigned char there[CLEAR_PAGES];
    size_t page = os_page_size();
    while (bytes != 0) {
        size_t length = min_size(bytes, CLEAR_PAGES * page), at = 0;
        if (!hak_os_resident(p, length, there))
            __builtin_memset(there, 1, sizeof there);
        while (at < length) {
            size_t from = at;
            bool resident = (there[at / page] & 1) != 0;
            while (at < length && (there[at / page] & 1) == resident)
                at += page;
            if (resident || !os_decommit(p + from, at - from))
                __builtin_memset(p + from, 0, at - from);
        }
        p += length;
        bytes -= length;
    }
}

// The same of a block; of few pages all are likely to be there, to its end.
static void clear(char *p, size_t end, size_t bytes)
{
    size_t plain = bytes <= CLEAR_PLAIN_MAX ? end : 0;
    sanitize_open(p, bytes);
    __builtin_memset(p, 0, plain);
    clear_resident(p + plain, bytes - plain);
}

// False if the system refuses.
static bool drop_stowed(struct slab *s)
{
    if (stowed_of(s) != NULL && !os_unstow_none(stowed_of(s), open_of(s)))
        return false;
    set_stowed(s, NULL);
    return true;
}

static bool make_cold(struct held *held, struct slab *s)
{
    if (!is_warm(s))
        return true;
    char *base = hak_slab_base(s);
    size_t reached = own_load(&s->reached);
    // (os_decommit may be unable to do its work but by making pages accessible.)
    if (!drop_stowed(s) ||
        !(MITIGATE_QUARANTINE ? os_protect_none(base, reached) : os_decommit(base, reached)))
        return false;
    add_warm(held, s, false);
    own_store(&s->reached, 0);
    return true;
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
    add_warm(held, s, false);
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
    if ((stowed_of(s) != NULL && !make_cold(held, s)) || !os_commit(base, units * UNIT_SIZE))
        return false;
    take_out(held, NULL, s);
    size_t reached = max_size(own_load(&s->reached), MITIGATE_QUARANTINE ? 0 : open_of(s));
    bool is_empty = reached != 0;
    if (FREE_IS_ZERO && is_empty) {
        is_empty = !os_decommit(hak_slab_base(s), reached);
        if (is_empty)
            clear(hak_slab_base(s), 0, reached);
    }
    if (MITIGATE_GUARDS)
        hak_fence_drop(s);
    hak_slab_end(s);
    hak_pool_release_huge(hak_unit_of(base), units, is_empty, now_ms);
    return true;
}

static void append(struct held *held, struct slab *s, uint64_t now_ms)
{
    s->next = NULL;
    if (held->newest != NULL)
        held->newest->next = s;
    else
        held->oldest = s;
    held->newest = s;
    own_store(&s->bytes, open_of(s));
    own_store(&s->free_blocks, (uint32_t)now_ms);
    held->count++;
    held->units += units_of(s);
    add_warm(held, s, true);
    fetch_add_relaxed(HELD_PLUS, &total, 1);
    if (MITIGATE_QUARANTINE)
        hak_inaccessible_add((int64_t)own_load(&s->bytes));
}

static bool is_over(const struct held *held, size_t units_max)
{
    return held->count > HELD_BLOCKS_MAX || held->units > units_max;
}

// Where memory need not be cleared it may serve anyone.
#define SHARES_WARM (!CLEARS)

static bool is_too_warm(const struct held *held)
{
    return held->warm > HELD_WARM_UNITS ||
           (held->warm > HELD_WARM_SURE &&
            load_relaxed(HELD_WARM_READ, &total_warm) > HELD_WARM_TOTAL);
}

static void bound_warm(struct held *held, uint64_t now_ms)
{
    while (SHARES_WARM && is_too_warm(held) && release_oldest(held, now_ms))
        ;
    for (struct slab *s = held->oldest; s != NULL && is_too_warm(held); s = s->next)
        (void)make_cold(held, s);
}

// A block that is not to stay warm loses its memory at once. False if the system refuses.
static bool take_access(struct slab *s, size_t end, bool warm)
{
    char *base = hak_slab_base(s);
    size_t open = open_of(s);
    size_t reached = min_size(max_size(own_load(&s->reached), open), bytes_of(s));
    if (warm && CLEARS)
        clear(base, end, open);
    own_store(&s->reached, warm ? reached : 0);
    set_stowed(s, MITIGATE_QUARANTINE && warm ? os_stow(base, open) : NULL);
    if (MITIGATE_QUARANTINE && stowed_of(s) == NULL)
        return warm ? os_hide(base, open) : os_protect_none(base, reached);
    return warm || os_decommit(base, reached);
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
    if (!take_access(s, end, warm))
        return false;
    append(held, s, now_ms);
    bound_warm(held, now_ms);
    while (is_over(held, units_max) && release_oldest(held, now_ms))
        ;
    return true;
}

void hak_held_keep(struct held *held, struct slab *s, size_t end, uint64_t now_ms)
{
    if (CLEARS && end != 0)
        clear(hak_slab_base(s), end, open_of(s));
    own_store(&s->reached, end != 0 ? bytes_of(s) : 0);
    set_stowed(s, NULL);
    append(held, s, now_ms);
    while (held->oldest != NULL && held->oldest->next != NULL && release_oldest(held, now_ms))
        ;
}

// ---- again ----

static bool fits(const struct slab *s, const struct held_request *want)
{
    uint32_t has = own_load(&s->units);
    return own_load(&s->state) == want->state && has >= want->units &&
           has - want->units <= want->spare &&
           ((uintptr_t)hak_slab_base(s) & (want->align - 1)) == 0;
}

// Whether the memory of the block that was freed last, which is not to be handed out yet, can serve
// in the place of another of its length, which has none.
static bool may_lend(const struct held *held, size_t end)
{
    if (!MITIGATE_QUARANTINE || held->newest == NULL)
        return false;
    const struct slab *s = held->newest;
    return stowed_of(s) != NULL && open_of(s) == end && own_load(&s->reached) == end;
}

bool hak_held_lend(struct held *held, struct slab *to, size_t end)
{
    struct slab *s = held->newest;
    if (!may_lend(held, end) || open_of(to) != end)
        return true;
    add_warm(held, s, false);
    own_store(&s->reached, 0);
    char *stowed = stowed_of(s);
    set_stowed(s, NULL);
    return os_unstow(hak_slab_base(to), stowed, end);
}

// How well a block that fits serves the request: warm ones, then those whose guard need not move.
static uint32_t merit(const struct held *held, const struct slab *s,
                      const struct held_request *want)
{
    if (want->grows)
        return own_load(&s->units);
    bool exact = own_load(&s->bytes) == want->end;
    return (is_warm(s) || (exact && may_lend(held, want->end)) ? 2 : 0) + exact;
}

// The best that fits, then the oldest; its predecessor in *before.
static struct slab *find(struct held *held, const struct held_request *want, struct slab **before)
{
    struct slab *found = NULL, *previous = NULL;
    for (struct slab *s = held->oldest; s != NULL; previous = s, s = s->next) {
        if (MITIGATE_QUARANTINE && s == held->newest)
            break; // never the one that was freed last
        if (!fits(s, want) || (found != NULL && merit(held, found, want) >= merit(held, s, want)))
            continue;
        found = s;
        *before = previous;
    }
    return found;
}

// The memory of a block comes back to its place; its guard moves to `end`. A longer guard is never
// refused: where the system does so it stays shorter.
static bool unstow(struct slab *s, size_t end)
{
    size_t open = open_of(s);
    if (MITIGATE_GUARDS && end > open && !hak_fence_move(s, end, true))
        return false;
    bool back = os_unstow(hak_slab_base(s), stowed_of(s), open);
    set_stowed(s, NULL);
    if (!back && !os_commit(hak_slab_base(s), open)) {
        if (MITIGATE_GUARDS && end > open)
            (void)hak_fence_move(s, open, true);
        return false;
    }
    return !MITIGATE_GUARDS || end >= open || hak_fence_move(s, end, true);
}

static bool reopen(struct slab *s, size_t end)
{
    if (MITIGATE_QUARANTINE && stowed_of(s) != NULL)
        return unstow(s, end);
    if (!MITIGATE_QUARANTINE)
        return !MITIGATE_GUARDS || hak_fence_move(s, end, true);
    return MITIGATE_GUARDS ? hak_fence_open(s, end) : os_commit(hak_slab_base(s), bytes_of(s));
}

struct slab *hak_held_take(struct held *held, const struct held_request *want)
{
    struct slab *before = NULL, *s = find(held, want, &before);
    if (s == NULL)
        return NULL;
    // The next steps of a buffer that grows find the guard where the last one's was.
    size_t end = want->grows ? max_size(want->end, open_of(s)) : want->end;
    // While what is to be hidden is accessible.
    if (FREE_IS_ZERO && !MITIGATE_QUARANTINE && is_warm(s))
        clear(hak_slab_base(s), open_of(s), open_of(s));
    // Its guard stays where it is.
    bool borrows = !is_warm(s) && open_of(s) == end && may_lend(held, end);
    if (!(borrows && hak_held_lend(held, s, end)) && !reopen(s, end))
        return NULL;
    take_out(held, before, s);
    if (want->zero && !CLEARS && is_warm(s)) {
        sanitize_open(hak_slab_base(s), end);
        __builtin_memset(hak_slab_base(s), 0, min_size(own_load(&s->reached), end));
    }
    return s;
}

void hak_held_trim(struct held *held, uint64_t now_ms, uint64_t delay_ms)
{
    for (struct slab *s = held->oldest; s != NULL; s = s->next)
        if ((uint32_t)now_ms - own_load(&s->free_blocks) > delay_ms)
            (void)make_cold(held, s);
}

void hak_held_release(struct held *held, uint64_t now_ms)
{
    while (held->oldest != NULL && release_oldest(held, now_ms))
        ;
}

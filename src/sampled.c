// sampled.c: places for SAMPLED_BLOCKS blocks, and what is known of each.
//
//   pool:   |guard|block's page|guard|block's page| ... |guard|
//   page:   |pattern| block |pattern|      the block at its begin or, as often, at its end
//
//   FREE -> LIVE (its page is accessible) -> FREED (inaccessible) -> LIVE ...  the longest FREED
//   place is taken first
//
// Whoever touches a page that is inaccessible gets a signal, whose handler finds the place and
// tells. Bytes of the page that are not the block's have a pattern, looked at when it is freed.
// What the lock guards is read without it by the handler only, which then ends the process.
#include "sampled.h"

#include <seam/lock.h>
#include <seam/os.h>
#include <seam/stack.h>

#include "options.h"
#include "stacks.h"

enum { PLACE_FREE = 0, PLACE_LIVE, PLACE_FREED };
#define PATTERN 0xa5

struct place {
    char *block;
    size_t bytes;
    uint32_t state;
    uint32_t next; // of the places that are not LIVE, in the order in which they were freed
    struct stacks stacks;
};

struct sampled_pool hak_sampled;
struct own_u32 hak_sampling;

static struct lock lock = LOCK_INIT(RANK_REGISTRY); // guards the pool, but for `random`
static struct {
    struct place places[SAMPLED_BLOCKS];
    uint32_t first, last; // to be taken next; freed last. SAMPLED_BLOCKS: none
    struct atomic_u64 random;
} pool;

// SplitMix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014): spreads
// samples; nothing is kept secret by it.
static uint64_t random_word(void)
{
    uint64_t z = fetch_add_relaxed(SAMPLED_RANDOM, &pool.random, 0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

const struct lock *hak_sampled_lock(void)
{
    return &lock;
}

int64_t hak_sampled_interval(void)
{
    uint64_t average = hak_options.sample;
    return average == 0 ? INT64_MAX : (int64_t)(random_word() % (2 * average - 1));
}

static char *page_of(uint32_t i)
{
    return hak_sampled.base + (2 * (size_t)i + 1) * os_page_size();
}

void hak_sampled_start(void)
{
    size_t bytes = (2 * (size_t)SAMPLED_BLOCKS + 1) * os_page_size();
    char *base = os_reserve(bytes, os_page_size());
    if (base == NULL) // counted
        return;
    uint64_t seed = 0;
    if (!hak_os_entropy(&seed, sizeof seed))
        seed = os_clock_ms();
    init_cell(&pool.random, seed);
    for (uint32_t i = 0; i < SAMPLED_BLOCKS; i++)
        pool.places[i].next = i + 1;
    pool.first = 0;
    pool.last = SAMPLED_BLOCKS - 1;
    hak_sampled.base = base;
    hak_sampled.bytes = bytes;
    own_store(&hak_sampling, 1);
    stack_watch_access();
}

// ---- reports ----

_Noreturn COLD static void fault(enum fault what, const struct place *place, const char *p)
{
    hak_fault_sampled(what, place->block, place->bytes, p - place->block, &place->stacks);
}

// The place that an address of the pool belongs to: of a guard between two, the nearer one that was
// used.
static const struct place *place_near(const char *p)
{
    size_t page = os_page_size();
    size_t half = (size_t)(p - hak_sampled.base) / (page / 2); // halves: g g 0 0 g g 1 1 g g
    size_t i = half < 2 ? 0 : (half - 1) / 4;
    if (i >= SAMPLED_BLOCKS)
        i = SAMPLED_BLOCKS - 1;
    if (pool.places[i].state != PLACE_FREE)
        return &pool.places[i];
    size_t other = half % 4 == 1 && i > 0 ? i - 1 : i + 1;
    return other < SAMPLED_BLOCKS ? &pool.places[other] : &pool.places[i];
}

// A signal handler: some access was not allowed. Returns if it is none of ours.
void hak_on_refused_access(void *p)
{
    if (!hak_sampled_has(p))
        return;
    const struct place *place = place_near(p);
    fault(place->state == PLACE_FREED ? FAULT_USE_AFTER_FREE : FAULT_OUT_OF_BOUNDS, place, p);
}

// The bytes of the page [from, to) have the pattern, or someone wrote out of bounds.
static void check_pattern(const struct place *place, const char *from, const char *to)
{
    static const unsigned char patterns[] = { PATTERN, PATTERN, PATTERN, PATTERN,
                                              PATTERN, PATTERN, PATTERN, PATTERN };
    while (to - from >= (ptrdiff_t)sizeof patterns &&
           __builtin_memcmp(from, patterns, sizeof patterns) == 0)
        from += sizeof patterns;
    for (const char *p = from; p < to; p++)
        if (*(const unsigned char *)p != PATTERN)
            fault(p < place->block ? FAULT_UNDERFLOW : FAULT_OVERFLOW, place, p);
}

// ---- blocks ----

// Caller holds the lock. NULL: all are LIVE.
static struct place *take_place(void)
{
    uint32_t i = pool.first;
    if (i == SAMPLED_BLOCKS)
        return NULL;
    pool.first = pool.places[i].next;
    if (pool.first == SAMPLED_BLOCKS)
        pool.last = SAMPLED_BLOCKS;
    return &pool.places[i];
}

static void give_place(struct place *place)
{
    uint32_t i = (uint32_t)(place - pool.places);
    place->next = SAMPLED_BLOCKS;
    if (pool.last == SAMPLED_BLOCKS)
        pool.first = i;
    else
        pool.places[pool.last].next = i;
    pool.last = i;
}

void *hak_sampled_alloc(size_t n, size_t align)
{
    size_t page = os_page_size();
    if (hak_sampled.base == NULL || n > page || n == 0 || align > page)
        return NULL;
    lock_acquire(&lock);
    struct place *place = take_place();
    char *base = place == NULL ? NULL : page_of((uint32_t)(place - pool.places));
    if (base != NULL && !os_commit(base, page)) {
        give_place(place);
        base = NULL;
    }
    if (base != NULL) {
        size_t offset = random_word() % 2 == 0 ? 0 : round_down(page - n, align);
        __builtin_memset(base, PATTERN, offset);
        __builtin_memset(base + offset + n, PATTERN, page - offset - n);
        place->block = base + offset;
        place->bytes = n;
        place->state = PLACE_LIVE;
        place->stacks.allocated_count = hak_stacks_take(place->stacks.allocated, STACK_FRAMES);
        place->stacks.freed_count = 0;
    }
    lock_release(&lock);
    return base == NULL ? NULL : place->block;
}

// The place of the block that is handed out and begins at p; its state otherwise is a fault.
static struct place *live_place(const char *p, enum fault twice, enum fault interior)
{
    size_t page = os_page_size();
    size_t at = (size_t)(p - hak_sampled.base) / page;
    struct place *place = (struct place *)place_near(p);
    if (at % 2 == 0 || p != place->block || place->state == PLACE_FREE)
        fault(interior, place, p);
    if (place->state == PLACE_FREED)
        fault(twice, place, p);
    return place;
}

void hak_sampled_free(void *p)
{
    lock_acquire(&lock);
    struct place *place = live_place(p, FAULT_DOUBLE_FREE, FAULT_INTERIOR_FREE);
    char *base = page_of((uint32_t)(place - pool.places));
    check_pattern(place, base, place->block);
    check_pattern(place, place->block + place->bytes, base + os_page_size());
    place->stacks.freed_count = hak_stacks_take(place->stacks.freed, STACK_FRAMES);
    place->state = PLACE_FREED;
    if (!os_protect_none(base, os_page_size())) // counted; accessible until it is taken again
        __builtin_memset(base, 0, os_page_size());
    give_place(place);
    lock_release(&lock);
}

size_t hak_sampled_usable(const void *p, enum fault otherwise)
{
    lock_acquire(&lock);
    size_t bytes = live_place(p, otherwise, otherwise)->bytes;
    lock_release(&lock);
    return bytes;
}

// profile.c: three tables in one reservation that is committed as they grow.
//
//   locations:  code address        each once     <- found by hash, chained
//   stacks:     numbers of locations, sums        <- found by hash of all addresses, chained
//   samples:    block, bytes, weight, stack, when, thread: those that are live; found by the block
//
//   sums of a stack = weights of its sampled blocks;  live = allocated - freed
//   stack 0 has no frames: blocks whose stack is unknown, or for which there was no room
//
// Links and heads hold a number plus 1; 0 is the end. A table uses few more heads than it has
// entries, so that a process touches pages of them as it needs them and not one for each entry:
// when there are more entries than heads, each chain is split in two. Everything is changed under
// the lock. Stacks and locations only grow, and what they hold but for sums does not change once
// the count includes them (release), so readers need no lock.
#include "profile.h"

#include <seam/lock.h>
#include <seam/os.h>
#include <seam/thread.h>

#include "intervals.h"
#include "options.h"

#define HASH_SIZE ((uint32_t)1 << PROFILE_HASH_BITS)
#define COMMIT_STEP ((size_t)64 << 10)

// Each entry begins with it.
struct chained {
    uint32_t hash;
    uint32_t next; // of the same head, or free
};

struct code_location {
    struct chained chained;
    void *address;
};

struct sum {
    struct own_u64 blocks, bytes; // bits of doubles
};

struct stack {
    struct chained chained;
    struct sum allocated;
    struct sum freed[LIFETIMES][2];
    uint32_t count;
    uint32_t frames[PROFILE_FRAMES];
};

struct sample {
    struct chained chained;
    const void *block;
    double weight;
    size_t bytes;
    uint64_t since_ns;
    uint32_t stack, thread;
};

// An array that grows. Readers use what `count` includes.
struct table {
    char *base;
    size_t entry_bytes, committed;
    uint32_t max;
    struct atomic_u32 count;
    uint32_t *heads; // room for HASH_SIZE; in use are 2^bits, by the first bits of a hash
    uint32_t bits;
};

static struct {
    struct lock lock; // rank RANK_PROFILE
    struct table locations, stacks, samples;
    uint32_t samples_free; // list of them
    struct atomic_u64 lost, heaps;
    uint64_t seed;
    struct own_u64 interval; // written once, before the process goes on
    uint64_t began_ns;
    uint32_t forking; // the thread that does, in fork handlers only
} profile = { .lock = LOCK_INIT(RANK_PROFILE) };

static uint32_t hash_of(const void *p)
{
    return (uint32_t)((uintptr_t)p * UINT64_C(0x9e3779b97f4a7c15) >> 32);
}

// ---- tables ----

static uint32_t count_of(struct table *t)
{
    return load_acquire(PROFILE_COUNT, &t->count); // pairs with PROFILE_PUBLISH
}

static void *entry(const struct table *t, uint32_t i)
{
    return t->base + i * t->entry_bytes;
}

// Memory for one more entry, which reads as zero; NULL: full. Caller holds the lock, fills the
// entry, then publishes it.
static void *next_entry(struct table *t)
{
    uint32_t count = load_relaxed(PROFILE_COUNT_OWN, &t->count);
    size_t end = (count + (size_t)1) * t->entry_bytes;
    if (count == t->max)
        return NULL;
    if (end > t->committed) {
        size_t most = round_up(t->max * t->entry_bytes, os_page_size());
        size_t step = min_size(round_up(COMMIT_STEP, os_page_size()), most - t->committed);
        if (!os_commit(t->base + t->committed, step))
            return NULL;
        t->committed += step;
    }
    return entry(t, count);
}

static uint32_t publish(struct table *t)
{
    uint32_t count = load_relaxed(PROFILE_COUNT_BEFORE, &t->count);
    store_release(PROFILE_PUBLISH, &t->count, count + 1); // the entry
    return count;
}

// ---- chains: caller holds the lock ----

static uint32_t *head_of(const struct table *t, uint32_t hash)
{
    return &t->heads[hash >> (32 - t->bits)];
}

static void put_first(const struct table *t, uint32_t link)
{
    struct chained *e = entry(t, link - 1);
    uint32_t *head = head_of(t, e->hash);
    e->next = *head;
    *head = link;
}

// Twice as many heads: those of chain i come to 2i and 2i + 1, so the last one goes first.
static void split_chains(struct table *t)
{
    uint32_t heads = (uint32_t)1 << t->bits++;
    for (uint32_t i = heads; i-- > 0;) {
        uint32_t link = t->heads[i], next;
        t->heads[(size_t)2 * i] = t->heads[(size_t)2 * i + 1] = 0;
        for (; link != 0; link = next) {
            const struct chained *e = entry(t, link - 1);
            next = e->next;
            put_first(t, link);
        }
    }
}

static void link_entry(struct table *t, uint32_t number)
{
    if (number >> t->bits != 0 && t->bits < PROFILE_HASH_BITS)
        split_chains(t);
    put_first(t, number + 1);
}

// ---- sums ----

static void add(struct sum *sum, double blocks, double bytes)
{
    union {
        double number;
        uint64_t bits;
    } b = { .bits = own_load(&sum->blocks) }, s = { .bits = own_load(&sum->bytes) };
    b.number += blocks;
    s.number += bytes;
    own_store(&sum->blocks, b.bits);
    own_store(&sum->bytes, s.bits);
}

static struct profile_sum read_sum(const struct sum *sum)
{
    union {
        uint64_t bits;
        double number;
    } b = { own_load(&sum->blocks) }, s = { own_load(&sum->bytes) };
    return (struct profile_sum){ b.number, s.number };
}

// ---- stacks ----

// The number of a code address; UINT32_MAX: no room. Caller holds the lock.
static uint32_t location_of(void *address)
{
    uint32_t hash = hash_of(address);
    struct code_location *l;
    for (uint32_t i = *head_of(&profile.locations, hash); i != 0; i = l->chained.next) {
        l = entry(&profile.locations, i - 1);
        if (l->address == address)
            return i - 1;
    }
    l = next_entry(&profile.locations);
    if (l == NULL)
        return UINT32_MAX;
    l->address = address;
    l->chained.hash = hash;
    uint32_t number = publish(&profile.locations);
    link_entry(&profile.locations, number);
    return number;
}

static bool same_frames(const struct stack *s, void *const *frames, uint32_t count)
{
    if (s->count != count)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        const struct code_location *l = entry(&profile.locations, s->frames[i]);
        if (l->address != frames[i])
            return false;
    }
    return true;
}

// The number of a stack; 0 where there is no room for a new one. Caller holds the lock.
static uint32_t stack_of(void *const *frames, uint32_t count)
{
    uint64_t mixed = count;
    for (uint32_t i = 0; i < count; i++)
        mixed = (mixed ^ (uintptr_t)frames[i]) * UINT64_C(0x9e3779b97f4a7c15);
    uint32_t hash = (uint32_t)(mixed >> 32);
    struct stack *s;
    for (uint32_t i = *head_of(&profile.stacks, hash); i != 0; i = s->chained.next) {
        s = entry(&profile.stacks, i - 1);
        if (s->chained.hash == hash && same_frames(s, frames, count))
            return i - 1;
    }
    s = next_entry(&profile.stacks);
    if (s == NULL || count == 0)
        return 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t location = location_of(frames[i]);
        if (location == UINT32_MAX)
            return 0;
        s->frames[i] = location;
    }
    s->count = count;
    s->chained.hash = hash;
    uint32_t number = publish(&profile.stacks);
    link_entry(&profile.stacks, number);
    return number;
}

// ---- samples ----

// Memory for a sample, in no list: NULL if there is none. Caller holds the lock.
static struct sample *new_sample(void)
{
    if (profile.samples_free != 0) {
        struct sample *s = entry(&profile.samples, profile.samples_free - 1);
        profile.samples_free = s->chained.next;
        return s;
    }
    return next_entry(&profile.samples) != NULL ? entry(&profile.samples, publish(&profile.samples))
                                                : NULL;
}

static uint32_t number_of(const struct sample *s)
{
    return (uint32_t)(s - (const struct sample *)profile.samples.base);
}

bool hak_profile_add(const void *p, size_t n, void *const *frames, uint32_t count, uint32_t thread)
{
    double weight = hak_interval_weight(n == 0 ? 1 : n, hak_profile_interval());
    uint64_t now_ns = hak_os_clock_ns();
    lock_acquire(&profile.lock);
    struct sample *s = new_sample();
    if (s != NULL) {
        *s = (struct sample){
            .chained.hash = hash_of(p),
            .block = p,
            .weight = weight,
            .bytes = n,
            .since_ns = now_ns,
            .stack = stack_of(frames, min_size(count, PROFILE_FRAMES)),
            .thread = thread,
        };
        link_entry(&profile.samples, number_of(s));
        struct stack *stack = entry(&profile.stacks, s->stack);
        add(&stack->allocated, weight, weight * (double)n);
    } else {
        fetch_add_relaxed(PROFILE_LOSE, &profile.lost, 1);
    }
    lock_release(&profile.lock);
    return s != NULL;
}

int64_t hak_profile_begin(uint64_t *random)
{
    uint64_t interval = hak_profile_interval();
    if (interval == 0)
        return INT64_MAX;
    uint64_t index = fetch_add_relaxed(PROFILE_SEED, &profile.heaps, 1);
    *random = hak_interval_seed(profile.seed, index);
    return hak_interval_next(random, interval);
}

static unsigned lifetime_of(uint64_t ns)
{
    unsigned i = 0;
    for (uint64_t bound = LIFETIME_FIRST_NS; i < LIFETIMES - 1 && ns >= bound; bound *= 10)
        i++;
    return i;
}

void hak_profile_freed(const void *p, uint32_t thread)
{
    uint64_t now_ns = hak_os_clock_ns();
    lock_acquire(&profile.lock);
    uint32_t *link = head_of(&profile.samples, hash_of(p));
    for (struct sample *s; *link != 0; link = &s->chained.next) {
        s = entry(&profile.samples, *link - 1);
        if (s->block != p)
            continue;
        struct stack *stack = entry(&profile.stacks, s->stack);
        unsigned lifetime = lifetime_of(now_ns - s->since_ns);
        add(&stack->freed[lifetime][s->thread != thread], s->weight, s->weight * (double)s->bytes);
        uint32_t next = s->chained.next;
        s->chained.next = profile.samples_free;
        profile.samples_free = *link;
        *link = next;
        break;
    }
    lock_release(&profile.lock);
}

const struct lock *hak_profile_lock(void)
{
    return &profile.lock;
}

// ---- fork ----

void hak_profile_before_fork(void)
{
    profile.forking = hak_thread_id();
}

// The thread that forked goes on in the child under another id.
void hak_profile_after_fork(void)
{
    uint32_t count = count_of(&profile.samples);
    uint32_t now = hak_thread_id();
    for (uint32_t i = 0; i < count; i++) {
        struct sample *s = entry(&profile.samples, i);
        if (s->thread == profile.forking)
            s->thread = now;
    }
}

// ---- reading ----

uint64_t hak_profile_interval(void)
{
    return own_load(&profile.interval);
}

uint32_t hak_profile_stacks(void)
{
    return count_of(&profile.stacks);
}

void hak_profile_read(uint32_t stack, struct profile_sums *out)
{
    const struct stack *s = entry(&profile.stacks, stack);
    for (unsigned i = 0; i < LIFETIMES; i++)
        for (unsigned other = 0; other < 2; other++)
            out->freed[i][other] = read_sum(&s->freed[i][other]);
    out->allocated = read_sum(&s->allocated);
}

uint32_t hak_profile_frames(uint32_t stack, uint32_t out[PROFILE_FRAMES])
{
    const struct stack *s = entry(&profile.stacks, stack);
    uint32_t count = s->count;
    for (uint32_t i = 0; i < count; i++)
        out[i] = s->frames[i];
    return count;
}

uint32_t hak_profile_locations(void)
{
    return count_of(&profile.locations);
}

const void *hak_profile_location(uint32_t location)
{
    const struct code_location *l = entry(&profile.locations, location);
    return l->address;
}

uint64_t hak_profile_lost(void)
{
    return load_relaxed(PROFILE_LOST_READ, &profile.lost);
}

uint64_t hak_profile_began_ns(void)
{
    return profile.began_ns;
}

// ---- start ----

static char *lay_out(struct table *t, char *at, size_t entry_bytes, uint32_t max)
{
    *t = (struct table){
        .base = at, .entry_bytes = entry_bytes, .max = max, .bits = PROFILE_HASH_BITS_FIRST
    };
    return at + round_up(max * entry_bytes, os_page_size());
}

void hak_profile_start(void)
{
    size_t heads_bytes = round_up((size_t)3 * HASH_SIZE * sizeof(uint32_t), os_page_size());
    size_t bytes = heads_bytes + 3 * os_page_size() +
                   PROFILE_LOCATIONS_MAX * sizeof(struct code_location) +
                   PROFILE_STACKS_MAX * sizeof(struct stack) +
                   PROFILE_SAMPLES_MAX * sizeof(struct sample);
    bytes = round_up(bytes, os_page_size());
    char *base = os_reserve(bytes, os_page_size());
    if (base == NULL)
        return; // counted
    char *at = base + heads_bytes;
    at = lay_out(&profile.locations, at, sizeof(struct code_location), PROFILE_LOCATIONS_MAX);
    at = lay_out(&profile.stacks, at, sizeof(struct stack), PROFILE_STACKS_MAX);
    lay_out(&profile.samples, at, sizeof(struct sample), PROFILE_SAMPLES_MAX);
    if (!os_commit(base, heads_bytes) || next_entry(&profile.stacks) == NULL) {
        (void)os_release(base, bytes);
        return;
    }
    publish(&profile.stacks); // [0]
    profile.locations.heads = (uint32_t *)base;
    profile.stacks.heads = profile.locations.heads + HASH_SIZE;
    profile.samples.heads = profile.stacks.heads + HASH_SIZE;
    profile.samples_free = 0;
    profile.seed = hak_options.profile_seed;
    if (profile.seed == 0 && !hak_os_entropy(&profile.seed, sizeof profile.seed))
        profile.seed = hak_os_time_ns();
    profile.began_ns = hak_os_time_ns();
    own_store(&profile.interval, hak_options.profile);
}

// lives.c: reads the allocator's structures as they lie in memory; writes nothing there.
//
// Between two scheduling points one thread runs, and a life ends or begins with a store of a tag.
// So comparing the tags of the units in use with what they were is enough to see each of them; all
// else happens only then.
#include "lives.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <heaps.h>
#include <seam/tls.h>

#include "census.h"
#include "sched/process.h"
#include "sched/system.h"

// Blocks of an ended or begun life that stand in the magazine of a heap on its slow path: given to
// their slab already, if the heap does what it should.
struct batch {
    struct heap *heap;
    unsigned class_index;
    uint32_t unit;
    uint64_t refilled; // by the magazine: after a refill what is in it is new
};
#define BATCHES_MAX 256u // a flush of all magazines may end a slab for each of their blocks

static struct {
    uint8_t tags[SYSTEM_BYTES_MAX >> UNIT_SHIFT];
    uint32_t units;
    struct batch batches[BATCHES_MAX];
    uint32_t batch_count;
    char wrong[240];
} lives;

void lives_reset(void)
{
    memset(lives.tags, TAG_NONE, lives.units);
    lives.units = lives.batch_count = 0;
}

static bool is_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
static bool is_wrong(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(lives.wrong, sizeof lives.wrong, format, args);
    va_end(args);
    return true;
}

// ---- magazines ----

// A block of the unit in the magazine, but for the one that the user freed once too often.
static const void *find_block(const struct magazine *m, uint32_t unit)
{
    void **slots = hak_magazine_slots(m);
    for (uint32_t i = 1, n = hak_magazine_count(m); i <= n; i++)
        if (slots[i] != census_allowed() && hak_arena_has(slots[i]) &&
            hak_unit_of(slots[i]) == unit)
            return slots[i];
    return NULL;
}

static bool has_no_batch(const struct heap *h)
{
    return census_is_at_rest(h) || load_relaxed(SWEEP_PEEK, &h->state) == HEAP_IDLE;
}

static bool check_magazine(struct heap *h, unsigned class_index, uint32_t unit, bool ends)
{
    const struct magazine *m = &h->magazines[class_index];
    const void *p = find_block(m, unit);
    if (p == NULL)
        return false;
    // Who begins a slab has finished its flushes.
    if (has_no_batch(h) || (!ends && h == tls_heap()))
        return is_wrong("a slab %s while a magazine of class %u has its block %p",
                        ends ? "ends" : "begins", class_index, p);
    if (lives.batch_count == BATCHES_MAX)
        return is_wrong("more than %u batches are in flight from ended slabs", BATCHES_MAX);
    lives.batches[lives.batch_count++] = (struct batch){
        h, class_index, unit, own_load(&hak_heap_counts(h, class_index)->refilled)
    };
    return false;
}

// Batches of heaps that have left their slow path since.
static bool check_batches(void)
{
    for (uint32_t i = lives.batch_count; i-- != 0;) {
        struct batch b = lives.batches[i];
        if (!has_no_batch(b.heap))
            continue;
        lives.batches[i] = lives.batches[--lives.batch_count];
        const void *p = find_block(&b.heap->magazines[b.class_index], b.unit);
        if (p != NULL && own_load(&hak_heap_counts(b.heap, b.class_index)->refilled) == b.refilled)
            return is_wrong("a magazine of class %u kept block %p beyond the life of its slab",
                            b.class_index, p);
    }
    return false;
}

// ---- the record ----

static const char *place_of(const struct heap *h, const struct slab *s)
{
    for (unsigned c = CLASS_FIRST; c <= CLASS_LAST; c++) {
        if (h->kept[c] == s)
            return "kept for the next refill";
        uint32_t left = lives.units;
        for (const struct slab *x = h->first[c]; x != NULL && left-- != 0; x = x->next)
            if (x == s)
                return "in a list of slabs";
    }
    uint32_t left = lives.units;
    const struct slab *x = load_relaxed(AUDIT_INBOX, &h->inbox.head);
    for (; x != NULL && left-- != 0; x = load_relaxed(AUDIT_LINK, &x->link))
        if (x == s)
            return "in an inbox";
    return NULL;
}

static bool check_record(const struct slab *s, bool ends)
{
    const char *verb = ends ? "ends" : "begins";
    const char *base = hak_slab_base(s);
    const char *stale = census_allowed();
    bool has_stale = stale != NULL && (size_t)(stale - base) < own_load(&s->units) * UNIT_SIZE;
    for (unsigned w = 0; w < SLAB_WORDS_MAX; w++) {
        uint64_t all = hak_slab_possible(s, w);
        if ((own_load(hak_slab_free_word(s, w)) & all) != all)
            return is_wrong("slab %p of class %u %s with %d blocks of word %u missing",
                            (const void *)base, own_load(&s->class_index), verb,
                            __builtin_popcountll(all & ~own_load(hak_slab_free_word(s, w))), w);
        if (!has_stale && load_relaxed(AUDIT_REMOTE, hak_slab_remote_word(s, w)) != 0)
            return is_wrong("slab %p of class %u %s with blocks marked in its remote bitmap",
                            (const void *)base, own_load(&s->class_index), verb);
    }
    if (ends && load_relaxed(AUDIT_PENDING, &s->pending) != 1)
        return is_wrong("slab %p ends without its token", (const void *)base);
    for (uint32_t i = 0, n = hak_heaps_count(); i < n; i++) {
        const char *place = place_of(hak_heaps_at(i), s);
        if (place != NULL)
            return is_wrong("slab %p %s while it is %s", (const void *)base, verb, place);
    }
    return false;
}

// ---- lives ----

static bool is_class(unsigned tag)
{
    return tag >= CLASS_FIRST && tag <= CLASS_LAST;
}

static bool is_slab(unsigned tag)
{
    return is_class(tag) || tag == TAG_PROFILED;
}

static bool is_change(unsigned before, unsigned now)
{
    return before != now && !(is_class(before) && now == TAG_PROFILED); // how these begin
}

static bool check_unit(uint32_t unit, bool ends)
{
    const struct slab *s = hak_slab_of_unit(unit);
    if (hak_slab_unit(s) == unit && check_record(s, ends))
        return true;
    for (uint32_t i = 0, n = hak_heaps_count(); i < n; i++) {
        struct heap *h = hak_heaps_at(i);
        for (unsigned c = CLASS_FIRST; c <= CLASS_LAST; c++)
            if (hak_magazine_count(&h->magazines[c]) != 0 && check_magazine(h, c, unit, ends))
                return true;
    }
    return false;
}

static bool check_changes(const uint8_t *tags)
{
    for (uint32_t unit = 0; unit < lives.units; unit++) {
        unsigned before = lives.tags[unit], now = tags[unit];
        lives.tags[unit] = (uint8_t)now;
        if (is_change(before, now) && ((is_slab(before) && check_unit(unit, true)) ||
                                       (is_slab(now) && check_unit(unit, false))))
            return true;
    }
    return false;
}

const char *lives_check(void)
{
    if (hak_arena.bytes == 0)
        return NULL;
    lives.units = hak_superslabs_begun() * SUPERSLAB_UNITS;
    if (lives.units == 0)
        return NULL;
    const uint8_t *tags = &hak_arena.tags->raw;
    if (memcmp(lives.tags, tags, lives.units) != 0 && check_changes(tags))
        return lives.wrong;
    return lives.batch_count != 0 && check_batches() ? lives.wrong : NULL;
}

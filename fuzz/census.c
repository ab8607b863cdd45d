// census.c: reads the allocator's structures as they lie in memory; writes nothing.
//
// A block that is live in the map has been handed out and not been given back, so whatever other
// threads are doing, it can be in no place of the allocator. (The conservation law as a whole holds
// at quiescent points only: hak_audit.)
//
// Cost: the live blocks and the contents of all magazines; so it is taken every few steps.
#include "census.h"

#include <stdio.h>

#include <heaps.h>
#include <large.h>

#include "sched/process.h"
#include "sched/system.h"

static char wrong[200];
static const void *stale;

void census_allow(const void *p)
{
    stale = p;
}

const void *census_allowed(void)
{
    return stale;
}

static bool is_bad(const struct shadow_block *b, const char *what)
{
    snprintf(wrong, sizeof wrong, "live block %p of %zu bytes %s", (void *)b->start, b->asked,
             what);
    return true;
}

// The size class of a slab's block; others' tag.
static unsigned class_of(const void *p)
{
    unsigned tag = hak_tag_of(p);
    return tag == TAG_PROFILED ? own_load(&hak_slab_of_unit(hak_unit_of(p))->class_index) : tag;
}

static bool check_block(const struct shadow_block *b)
{
    if (!hak_arena_has(b->start))
        return false; // a mapping of its own
    unsigned tag = class_of(b->start);
    if (tag == TAG_LARGE || tag == TAG_HUGE) {
        const struct slab *s = hak_slab_at(hak_unit_of(b->start));
        return load_relaxed(REMOTE_COUNT, &s->live) == 0 &&
               is_bad(b, "has a record that says free");
    }
    if (tag < CLASS_FIRST || tag > CLASS_LAST)
        return is_bad(b, "has no tag");
    if (hak_class_bytes(tag) < b->asked)
        return is_bad(b, "has the tag of a smaller class");
    const struct slab *s = hak_slab_of_unit(hak_unit_of(b->start));
    if (own_load(&s->state) != SLAB_ACTIVE || own_load(&s->class_index) != tag)
        return is_bad(b, "has a record of another class or none");
    uint32_t index = hak_slab_index(s, b->start);
    if (index >= own_load(&s->blocks))
        return is_bad(b, "is none of its slab's");
    uint64_t bit = UINT64_C(1) << index % 64;
    if ((own_load(hak_slab_free_word(s, index / 64)) & bit) != 0)
        return is_bad(b, "is free in its slab");
    if ((load_relaxed(REMOTE_COUNT, hak_slab_remote_word(s, index / 64)) & bit) != 0)
        return is_bad(b, "is marked as freed by another thread");
    return false;
}

static bool check_blocks(const struct shadow_block *b)
{
    return b != NULL && (check_block(b) || check_blocks(b->left) || check_blocks(b->right));
}

// Blocks of a batch that is being flushed are in the magazine and in their slab. Only a thread that
// is on no slow path has no batch in flight.
bool census_is_at_rest(const struct heap *h)
{
    return process_has_heap(h) && load_relaxed(GATE_IS_INSIDE, &h->inside) == 0;
}

static bool check_magazines(const struct shadow *shadow, const struct heap *h)
{
    for (unsigned c = CLASS_FIRST; c <= CLASS_LAST; c++) {
        const struct magazine *m = &h->magazines[c];
        void **slots = hak_magazine_slots(m);
        for (uint32_t i = 1, n = hak_magazine_count(m); i <= n; i++) {
            const struct shadow_block *b = shadow_find(shadow, slots[i], 1);
            if (b != NULL && slots[i] != stale)
                return is_bad(b, "is in a magazine");
        }
    }
    return false;
}

const char *census(const struct shadow *shadow)
{
    if (hak_arena.bytes == 0)
        return NULL;
    if (check_blocks(shadow->root))
        return wrong;
    for (uint32_t i = 0, n = hak_heaps_count(); i < n; i++)
        if (census_is_at_rest(hak_heaps_at(i)) && check_magazines(shadow, hak_heaps_at(i)))
            return wrong;
    return NULL;
}

bool census_knows(const void *p)
{
    return hak_arena_has(p);
}

size_t census_freed_bytes(const void *p)
{
    unsigned tag = class_of(p);
    return tag >= CLASS_FIRST && tag <= CLASS_LAST ? hak_class_bytes(tag) : 1;
}

bool census_is_out(const void *p, bool marked)
{
    unsigned tag = class_of(p);
    if (tag == TAG_NONE)
        return false;
    if (tag > CLASS_LAST) {
        const struct slab *s = hak_large_record(p);
        return s != NULL && load_relaxed(REMOTE_COUNT, &s->live) != 0;
    }
    const struct slab *s = hak_slab_of_unit(hak_unit_of(p));
    uint32_t i = hak_slab_index(s, p);
    if (i == UINT32_MAX || i >= own_load(&s->handed))
        return false;
    uint64_t in_slab = own_load(hak_slab_free_word(s, i / 64));
    if (!marked)
        in_slab |= load_relaxed(REMOTE_COUNT, hak_slab_remote_word(s, i / 64));
    return (in_slab >> i % 64 & 1) == 0;
}

bool census_has_marks(const void *p)
{
    const struct slab *s = hak_slab_of_unit(hak_unit_of(p));
    uint64_t marks = 0;
    for (unsigned w = 0; w < SLAB_WORDS_MAX; w++)
        marks |= load_relaxed(REMOTE_COUNT, hak_slab_remote_word(s, w));
    return marks != 0;
}

const char *census_unused(bool whole)
{
    if (hak_arena.base == NULL)
        return NULL;
    for (uint32_t i = 0, begun = hak_superslabs_begun(); i < begun; i++)
        for (uint32_t m = hak_mask_unused(hak_superslab_word(i)); m != 0; m &= m - 1) {
            char *base = hak_unit_base(i * SUPERSLAB_UNITS + lowest_bit(m));
            if (system_keep_zero(base, UNIT_SIZE, whole))
                continue;
            snprintf(wrong, sizeof wrong, "UNUSED unit %p does not read as zero", (void *)base);
            return wrong;
        }
    return NULL;
}

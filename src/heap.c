// heap.c: refill and flush, the slow paths between magazines and slabs.
//
//   lists:     first[c] -> slab -> slab -> last[c]        slabs of class c that have free bits
//
//   place == PLACE_PARTIAL  <=>  in a list of the owner;  a slab without free bits is PLACE_FULL
//   a block is in at most one of: free bits, remote bits, one magazine, the user's hands
//
// Refill: the first slabs of the list, else what the inbox brings, else a slab from the pool.
// Flush: the oldest half, because the newest are warm in the cache. Blocks are handled in runs of
// the same slab and word, their bits collected in a register. New slabs with free bits go to the
// end of the list, so that they collect more before they are taken from; slabs of tracked classes
// go to its front, because their free blocks are warm while the front slab's may be untouched.
//
// An empty slab goes back to the pool at once, unless it is the only one of its class in the list:
// that one is kept until the purge tick. It is released only with the token (remote.c): if a late
// notification is on its way it stays, and is released when the drain meets it.
//
// Mistakes of the user come out here: a bit that is set already is a double free, an offset that is
// no multiple of the block size an invalid one.
#include "heap.h"

#include "fault.h"
#include "profile.h"
#include "sampled.h"

const struct front hak_no_front = NO_FRONT;
const struct front hak_late_front = NO_FRONT;

void hak_heap_start(struct heap *h)
{
    for (unsigned i = 0; i < TAG_COUNT; i++)
        h->magazines[i] = (struct magazine)NO_MAGAZINE;
    for (size_t i = 0; i <= TABLE_SIZE_MAX / 16; i++)
        h->class_offset[i] = hak_heap_offset(i);
    for (unsigned i = 0; hak_heap_has_decoys() && i < DECOYS; i++)
        own_store(&hak_heap_decoys(h)->of[i], &hak_no_slots[1]);
    h->until_sample = hak_sampled_interval();
    h->until_profile = hak_profile_begin(&h->profile_random);
}

// ---- lists of slabs with free blocks ----

static void link_last(struct heap *h, unsigned class_index, struct slab *s)
{
    s->place = PLACE_PARTIAL;
    s->next = NULL;
    s->prev = h->last[class_index];
    if (s->prev != NULL)
        s->prev->next = s;
    else
        h->first[class_index] = s;
    h->last[class_index] = s;
}

static void link_first(struct heap *h, unsigned class_index, struct slab *s)
{
    s->place = PLACE_PARTIAL;
    s->prev = NULL;
    s->next = h->first[class_index];
    if (s->next != NULL)
        s->next->prev = s;
    else
        h->last[class_index] = s;
    h->first[class_index] = s;
}

// Free blocks that nobody has touched yet lie at the end of a slab whose memory was fresh.
static bool has_untouched(const struct slab *s)
{
    return own_load(&s->handed) < own_load(&s->blocks) && own_load(&s->touched) != UINT64_MAX;
}

// Whether a free block of the slab was used before: its pages exist.
static bool has_used(const struct slab *s)
{
    return !has_untouched(s) ||
           own_load(&s->free_blocks) > own_load(&s->blocks) - own_load(&s->handed);
}

// At the end, but before a slab with untouched blocks.
static void link_used(struct heap *h, unsigned class_index, struct slab *s)
{
    struct slab *last = h->last[class_index];
    if (last == NULL || has_untouched(s) || !has_untouched(last)) {
        link_last(h, class_index, s);
        return;
    }
    s->place = PLACE_PARTIAL;
    s->next = last;
    s->prev = last->prev;
    if (s->prev != NULL)
        s->prev->next = s;
    else
        h->first[class_index] = s;
    last->prev = s;
}

static void unlink_slab(struct heap *h, unsigned class_index, struct slab *s)
{
    // A link that its neighbour does not return was damaged: following it would spread that.
    if (mistake((s->prev != NULL ? s->prev->next : h->first[class_index]) != s ||
                (s->next != NULL ? s->next->prev : h->last[class_index]) != s))
        hak_fault(FAULT_CORRUPT_RECORD, hak_slab_base(s), class_index);
    if (s->prev != NULL)
        s->prev->next = s->next;
    else
        h->first[class_index] = s->next;
    if (s->next != NULL)
        s->next->prev = s->prev;
    else
        h->last[class_index] = s->prev;
    s->place = PLACE_FULL;
    s->next = s->prev = NULL;
    if (h->kept[class_index] == s)
        h->kept[class_index] = NULL;
}

static bool is_tracked(unsigned class_index)
{
    return hak_class_bytes(class_index) >= ZERO_TRACKED_MIN;
}

// Gives an empty slab of mine back to the pool, unless a notification of it is on its way.
static void release(struct heap *h, unsigned class_index, struct slab *s)
{
    if (!hak_remote_try_hold(s))
        return;
    unlink_slab(h, class_index, s);
    uint32_t units = own_load(&s->units);
    hak_slab_end(s);
    hak_pool_release(hak_slab_unit(s), units, h->now_ms);
    hak_count(&h->counters.released, 1);
}

// Puts a slab of mine, which has just received free bits, where it belongs now.
static void place(struct heap *h, struct slab *s)
{
    unsigned class_index = own_load(&s->class_index);
    if (s->place == PLACE_FULL && own_load(&s->free_blocks) != 0) {
        if (is_tracked(class_index))
            link_first(h, class_index, s);
        else
            link_used(h, class_index, s);
    }
    if (!hak_slab_is_empty(s))
        return;
    bool only_one = h->first[class_index] == s && h->last[class_index] == s;
    if (only_one && hak_class_bytes(class_index) <= KEPT_SIZE_MAX)
        h->kept[class_index] = s;
    else
        release(h, class_index, s);
}

void hak_heap_release_kept(struct heap *h)
{
    for (unsigned c = CLASS_FIRST; c <= CLASS_LAST; c++) {
        struct slab *s = h->kept[c];
        if (s == NULL)
            continue;
        h->kept[c] = NULL;
        if (hak_slab_is_empty(s))
            release(h, c, s);
    }
}

uint32_t hak_heap_drain(struct heap *h)
{
    uint32_t count = 0, slabs = 0;
    struct slab *next;
    for (struct slab *s = hak_remote_take_all(&h->inbox); s != NULL; s = next) {
        count += hak_remote_settle(s, &next);
        place(h, s);
        slabs++;
    }
    hak_count(&h->counters.drains, 1);
    hak_count(&h->counters.drained_slabs, slabs);
    hak_count(&h->counters.drained, count);
    return count;
}

// ---- refill ----

// Notes that the slab is taken from. One out of the list may be the current one.
static struct slab *take_from(struct class_counters *n, struct slab *s, enum refill_source source)
{
    uint32_t unit = hak_slab_unit(s) + 1;
    if (source == REFILL_PARTIAL && unit == n->current)
        source = REFILL_CURRENT;
    n->current = unit;
    hak_count(&n->taken[source], 1);
    return s;
}

// A slab of the class with free blocks, or NULL.
static struct slab *find_slab(struct heap *h, struct class_counters *n, unsigned class_index,
                              enum pool_effort effort)
{
    struct slab *first = h->first[class_index];
    if (first != NULL && (is_tracked(class_index) || has_used(first)))
        return take_from(n, first, REFILL_PARTIAL);
    bool drained = hak_heap_drain(h) != 0;
    struct slab *now = h->first[class_index];
    if (now != NULL && (drained || first != NULL))
        return take_from(n, now, now == first ? REFILL_PARTIAL : REFILL_INBOX);
    const struct size_class *c = &hak_classes[class_index];
    struct run r;
    enum pool_stage stage;
    stage = hak_pool_acquire_kind(class_index, c->units, c->units_min, 1, effort, &r);
    if (stage == POOL_NONE)
        return NULL;
    struct slab *s = hak_slab_at(r.unit);
    hak_slab_begin(s, class_index, r.units, r.warm == 0);
    hak_remote_begin(s, &h->inbox);
    link_first(h, class_index, s);
    return take_from(n, s, REFILL_POOL_EMPTY + (stage - POOL_FROM_EMPTY));
}

static void unlink_if_full(struct heap *h, unsigned class_index, struct slab *s)
{
    if (own_load(&s->free_blocks) == 0)
        unlink_slab(h, class_index, s);
}

// As hak_heap_refill for classes whose fresh blocks are handed out one by one, so that a magazine
// holds only blocks that were used before.
static void *refill_tracked(struct heap *h, unsigned class_index, enum pool_effort effort,
                            bool *zero)
{
    struct class_counters *n = hak_heap_counts(h, class_index);
    struct slab *s = find_slab(h, n, class_index, effort);
    if (s == NULL)
        return NULL;
    struct magazine *m = &h->magazines[class_index];
    void **slots = hak_magazine_slots(m);
    struct random_source *random = MITIGATE_RANDOM ? &hak_heap_extra(h)->random : NULL;
    uint32_t want = hak_magazine_batch(m);
    uint32_t count = MITIGATE_RANDOM
                         ? hak_slab_take_random(s, slots + 1, want, own_load(&s->touched), random)
                         : hak_slab_take_touched(s, slots + 1, want);
    void *p;
    if (count != 0) {
        p = slots[count];
        own_store(&m->top, slots + count);
    } else {
        p = MITIGATE_RANDOM ? hak_slab_take_untouched_random(s, random)
                            : hak_slab_take_untouched(s);
        *zero = true;
        count = 1;
    }
    hak_count(&n->refilled, count);
    unlink_if_full(h, class_index, s);
    return p;
}

void *hak_heap_refill(struct heap *h, unsigned class_index, enum pool_effort effort, bool *zero)
{
    struct magazine *m = &h->magazines[class_index];
    *zero = false;
    if (is_tracked(class_index))
        return refill_tracked(h, class_index, effort, zero);
    struct class_counters *n = hak_heap_counts(h, class_index);
    void **slots = hak_magazine_slots(m);
    uint32_t want = hak_magazine_batch(m);
    uint32_t count = 0;
    for (unsigned slabs = 0; slabs < REFILL_SLABS_MAX && count < want; slabs++) {
        // Only the first is worth a new slab.
        struct slab *s = count == 0 ? find_slab(h, n, class_index, effort) : h->first[class_index];
        if (s == NULL || (count != 0 && !has_used(s)))
            break;
        if (count != 0)
            take_from(n, s, REFILL_PARTIAL);
        count += MITIGATE_RANDOM ? hak_slab_take_random(s, slots + 1 + count, want - count,
                                                        UINT64_MAX, &hak_heap_extra(h)->random)
                                 : hak_slab_take(s, slots + 1 + count, want - count);
        unlink_if_full(h, class_index, s);
    }
    if (count == 0)
        return NULL;
    hak_count(&n->refilled, count);
    own_store(&m->top, slots + count);
    return slots[count];
}

// ---- flush ----

// Blocks of one word of one slab, on their way from a magazine.
struct batch {
    struct heap *heap;
    struct class_counters *counts;
    const struct size_class *class;
    unsigned class_index;
    struct slab *slab; // NULL: none yet
    char *base;        // of the slab's blocks, and their bytes
    size_t bytes;
    bool own;
    unsigned word;
    uint64_t bits;
    uint32_t runs, runs_remote; // emitted
};

static void emit(struct batch *b)
{
    struct slab *s = b->slab;
    uint64_t twice;
    if (b->bits == 0)
        return;
    if (b->own) {
        twice = hak_slab_give(s, b->word, b->bits);
    } else {
        twice = hak_remote_mark(s, b->word, b->bits);
        hak_count(&b->counts->flushed_remote, (uint64_t)__builtin_popcountll(b->bits));
        b->runs_remote++;
    }
    b->runs++;
    if (mistake(twice != 0)) {
        size_t index = b->word * 64 + lowest_bit(twice);
        hak_fault(FAULT_DOUBLE_FREE, b->base + index * b->class->block_bytes, b->class_index);
    }
}

static void finish_slab(struct batch *b)
{
    if (b->slab == NULL)
        return;
    emit(b);
    if (b->own)
        place(b->heap, b->slab);
    else
        hak_remote_notify(b->slab);
}

// Begins a batch for the slab that p lies in.
static void begin_slab(struct batch *b, const char *p)
{
    finish_slab(b);
    struct slab *s = hak_slab_of_unit(hak_unit_of(p));
    // A slab ends when all its blocks are free: one that ended, or began another life, while its
    // block was in a magazine got that block back from elsewhere, so it was freed twice.
    if (mistake(own_load(&s->class_index) != b->class_index || own_load(&s->state) != SLAB_ACTIVE))
        hak_fault(hak_tag_of(p) != b->class_index ? FAULT_DOUBLE_FREE : FAULT_CORRUPT_RECORD, p,
                  b->class_index);
    b->slab = s;
    b->base = hak_slab_base(s);
    b->bytes = (size_t)own_load(&s->blocks) * b->class->block_bytes;
    b->own = hak_remote_is_owner(s, &b->heap->inbox);
    b->word = 0;
    b->bits = 0;
    if (mistake((size_t)(p - b->base) >= b->bytes)) // behind the last block
        hak_fault(FAULT_INTERIOR_FREE, p, b->class_index);
}

// Checks what the user freed and adds it to the batch, which is emitted when it is complete.
static inline void add_block(struct batch *b, char *p)
{
    if ((size_t)(p - b->base) >= b->bytes)
        begin_slab(b, p);
    size_t offset = (size_t)(p - b->base);
    unsigned index = hak_class_index(b->class, offset);
    if (mistake((size_t)index * b->class->block_bytes != offset))
        hak_fault(FAULT_INTERIOR_FREE, p, b->class_index);
    if (mistake(index >= own_load(&b->slab->handed)))
        hak_fault(FAULT_NEVER_ALLOCATED, p, b->class_index);
    if (index / 64 != b->word) {
        emit(b);
        b->word = index / 64;
        b->bits = 0;
    }
    uint64_t bit = (uint64_t)1 << index % 64;
    if (mistake((b->bits & bit) != 0))
        hak_fault(FAULT_DOUBLE_FREE, p, b->class_index);
    b->bits |= bit;
}

static void finish(struct batch *b, uint32_t blocks)
{
    finish_slab(b);
    hak_count(&b->counts->flushed, blocks);
    hak_count(&b->counts->runs, b->runs);
    hak_count(&b->counts->runs_remote, b->runs_remote);
}

void hak_heap_flush_within(struct heap *h, unsigned class_index, uint32_t count)
{
    struct magazine *m = &h->magazines[class_index];
    void **slots = hak_magazine_slots(m);
    uint32_t held = hak_magazine_count(m);
    struct batch b = {
        .heap = h,
        .counts = hak_heap_counts(h, class_index),
        .class = &hak_classes[class_index],
        .class_index = class_index,
    };
    for (uint32_t i = 1; i <= count; i++)
        add_block(&b, slots[i]);
    finish(&b, count);
    __builtin_memmove(slots + 1, slots + 1 + count, (held - count) * sizeof(void *));
    own_store(&m->top, slots + 1 + held - count);
    hak_count(&h->counters.flushes, 1);
}

void hak_heap_flush(struct heap *h, unsigned class_index, uint32_t count)
{
    uint32_t held = hak_magazine_count(&h->magazines[class_index]);
    hak_heap_before(hak_heap_counts(h, class_index), held);
    hak_heap_flush_within(h, class_index, count);
    hak_heap_after(hak_heap_counts(h, class_index), held - count);
}

void hak_heap_free_one(struct heap *h, unsigned class_index, void *p)
{
    struct batch b = {
        .heap = h,
        .counts = hak_heap_counts(h, class_index),
        .class = &hak_classes[class_index],
        .class_index = class_index,
    };
    add_block(&b, p);
    finish(&b, 1);
}

static void end_quarantine(struct heap *h, struct quarantine *q)
{
    for (void *p; (p = hak_quarantine_take(q, NULL)) != NULL;) { // also if its slab has ended
        unsigned class_index = own_load(&hak_slab_of_unit(hak_unit_of(p))->class_index);
        hak_count(&hak_heap_counts(h, class_index)->free_misses, 1);
        hak_heap_free_one(h, class_index, p);
    }
    own_store(&q->bytes, 0);
}

void hak_heap_flush_all(struct heap *h)
{
    h->prewarm = (struct heap_prewarm){ 0 };
    for (unsigned i = 0; MITIGATE_QUARANTINE && i < 2; i++)
        end_quarantine(h, &hak_heap_extra(h)->quarantines[i]);
    for (unsigned c = CLASS_FIRST; c <= CLASS_LAST; c++) {
        uint32_t count = hak_magazine_count(&h->magazines[c]);
        if (count != 0)
            hak_heap_flush(h, c, count);
    }
    hak_heap_drain(h);
    hak_heap_release_kept(h);
    hak_recent_release(&h->recent);
    if (HEAP_HAS_HELD)
        hak_held_release(&hak_heap_extra(h)->held, h->now_ms);
}

// ---- sweeping ----

unsigned hak_heap_adopt(struct heap *to, struct heap *from, unsigned class_index,
                        unsigned slabs_max)
{
    unsigned adopted = 0;
    for (struct slab *s = from->first[class_index], *next; s != NULL && adopted < slabs_max;
         s = next) {
        next = s->next;
        if (!hak_remote_try_hold(s))
            continue;
        unlink_slab(from, class_index, s);
        hak_count(&to->counters.drained, hak_remote_adopt(s, &to->inbox));
        link_last(to, class_index, s);
        adopted++;
    }
    hak_count(&to->counters.adopted, adopted);
    return adopted;
}

bool hak_heap_ok(const struct heap *h)
{
    for (unsigned c = CLASS_FIRST; c <= CLASS_LAST; c++) {
        const struct magazine *m = &h->magazines[c];
        if (!hak_magazine_ok(m) ||
            (own_load(&m->capacity) != 0 && own_load(&h->class_counts[c]) == 0))
            return false;
        const struct slab *previous = NULL;
        for (const struct slab *s = h->first[c]; s != NULL; previous = s, s = s->next)
            if (s->prev != previous || s->place != PLACE_PARTIAL ||
                own_load(&s->class_index) != c || own_load(&s->free_blocks) == 0 ||
                !hak_remote_is_owner(s, &h->inbox))
                return false;
        if (h->last[c] != previous)
            return false;
        const struct slab *kept = h->kept[c];
        if (kept != NULL && (kept->place != PLACE_PARTIAL || own_load(&kept->class_index) != c))
            return false;
    }
    for (size_t i = 0; i <= TABLE_SIZE_MAX / 16; i++)
        if (h->class_offset[i] != hak_heap_offset(i))
            return false;
    for (unsigned i = 0; hak_heap_has_decoys() && i < DECOYS; i++)
        if (own_load(&hak_heap_decoys(h)->of[i]) != &hak_no_slots[1])
            return false;
    return true;
}

// cache.c: the capacities of a heap's magazines.
//
//   capacity   0 .. START .. cache_sure .. cache_max           2^k - 1 blocks
//              every miss      those that turn
//
//   granted == sum of (capacity - cache_sure) * block_bytes where that is positive;
//   granted <= hak_class_table.cache_total
//
// What a larger magazine saves. A thread that only allocates, or only frees, misses anyhow: a batch
// of cache_sure blocks makes that cheap, and more would be memory that no one uses. A thread whose
// number of live blocks goes up and down misses where the swing is larger than the magazine: then a
// miss of one kind follows one of the other, it *turns*, and the capacity grows.
//
// All of them together are bounded: one that grows takes from another that has not missed since it
// was last looked at. Blocks of more than half a unit are few and costly: a heap caches those of
// one class only, the one that it asked for last.
#include "cache.h"

#include "meta.h"

// Capacity that counts as granted.
static size_t granted_bytes(unsigned class_index, uint32_t capacity)
{
    const struct size_class *c = &hak_classes[class_index];
    return capacity > c->cache_sure ? (size_t)(capacity - c->cache_sure) * c->block_bytes : 0;
}

// Lowers the capacity; blocks above it go to their slabs.
static void lower(struct heap *h, unsigned class_index, uint32_t capacity)
{
    struct magazine *m = &h->magazines[class_index];
    uint32_t count = hak_magazine_count(m);
    if (count > capacity)
        hak_heap_flush(h, class_index, count - capacity);
    h->room.granted -= granted_bytes(class_index, own_load(&m->capacity));
    h->room.granted += granted_bytes(class_index, capacity);
    (void)hak_magazine_resize(m, capacity); // its memory is enough
}

// Halves the capacity, but not below what is sure or was prewarmed.
static void halve(struct heap *h, unsigned class_index)
{
    uint32_t capacity = own_load(&h->magazines[class_index].capacity);
    if (capacity > hak_classes[class_index].cache_sure &&
        (capacity - 1) / 2 >= h->prewarm.keep[class_index])
        lower(h, class_index, (capacity - 1) / 2);
}

// Grants so many bytes more if they are left or can be had from magazines that do not miss.
static bool grant(struct heap *h, size_t bytes)
{
    struct room *room = &h->room;
    for (unsigned i = 0; i < CLASS_COUNT && room->granted + bytes > hak_class_table.cache_total;
         i++) {
        room->looked = room->looked == CLASS_LAST ? CLASS_FIRST : room->looked + 1;
        struct magazine *m = &h->magazines[room->looked];
        if (m->run == 0)
            halve(h, room->looked);
        m->run = 0;
    }
    if (room->granted + bytes > hak_class_table.cache_total)
        return false;
    room->granted += bytes;
    return true;
}

static bool is_favourable(unsigned class_index)
{
    return hak_class_bytes(class_index) > UNIT_SIZE / 2;
}

// Whether such a class may have a capacity.
static bool favour(struct heap *h, unsigned class_index, enum miss miss)
{
    struct room *room = &h->room;
    if (room->favoured == class_index)
        return true;
    if (miss == MISS_FULL)
        return false;
    if (room->favoured != 0)
        lower(h, room->favoured, 0);
    room->favoured = class_index;
    return true;
}

// The capacity of a magazine that missed.
static uint32_t wanted_capacity(const struct size_class *c, uint32_t before, bool turned)
{
    uint32_t most = before < c->cache_sure ? c->cache_sure : turned ? c->cache_max : before;
    uint32_t more = before == 0 ? MAGAZINE_BLOCKS_START
                                : ((before + 1) << MAGAZINE_GROWTH_SHIFT) - 1;
    return WITHOUT_SLOW_START ? c->cache_max : more < most ? more : most;
}

// Makes counters of the class's own, before it has a magazine. False: no metadata memory is left.
static bool make_counters(struct heap *h, unsigned class_index)
{
    if (own_load(&h->class_counts[class_index]) != 0)
        return true;
    char *counts = hak_meta_alloc_untouched(sizeof(struct class_counters));
    if (counts == NULL)
        return false;
    own_store(&h->class_counts[class_index],
              (uint32_t)((size_t)(counts - hak_arena.meta) / META_CHUNK_MIN));
    return true;
}

// Raises the capacity if the bytes are granted and there is memory for the slots.
static bool extend(struct heap *h, unsigned class_index, uint32_t capacity)
{
    struct magazine *m = &h->magazines[class_index];
    if (!make_counters(h, class_index))
        return false;
    size_t bytes = granted_bytes(class_index, capacity) -
                   granted_bytes(class_index, own_load(&m->capacity));
    if (bytes != 0 && !grant(h, bytes))
        return false;
    if (hak_magazine_resize(m, capacity))
        return true;
    h->room.granted -= bytes;
    return false;
}

static bool grow(struct heap *h, unsigned class_index, enum miss miss)
{
    const struct size_class *c = &hak_classes[class_index];
    struct magazine *m = &h->magazines[class_index];
    bool turned = m->miss != miss;
    m->miss = (uint8_t)miss;
    m->run = turned ? 1 : m->run < MAGAZINE_RUN_MAX ? m->run + 1 : m->run;
    if (is_favourable(class_index) && !favour(h, class_index, miss))
        return false;
    uint32_t before = own_load(&m->capacity);
    uint32_t capacity = wanted_capacity(c, before, turned);
    return capacity != before && extend(h, class_index, capacity);
}

uint32_t hak_cache_reserve(struct heap *h, unsigned class_index, uint32_t blocks)
{
    const struct own_u32 *capacity = &h->magazines[class_index].capacity;
    if (is_favourable(class_index))
        (void)favour(h, class_index, MISS_EMPTY);
    uint32_t most = hak_classes[class_index].cache_max;
    for (bool raised = true; raised && own_load(capacity) < (blocks < most ? blocks : most);) {
        uint32_t next = 2 * own_load(capacity) + 1;
        raised = extend(h, class_index, next < most ? next : most);
    }
    return own_load(capacity);
}

bool hak_cache_grow(struct heap *h, unsigned class_index)
{
    return grow(h, class_index, MISS_EMPTY) || own_load(&h->magazines[class_index].capacity) != 0;
}

bool hak_cache_make_room(struct heap *h, unsigned class_index)
{
    if (grow(h, class_index, MISS_FULL))
        return true;
    uint32_t capacity = own_load(&h->magazines[class_index].capacity);
    if (capacity == 0)
        return false;
    hak_heap_flush_within(h, class_index, hak_magazine_batch(&h->magazines[class_index]));
    return true;
}

void hak_cache_restart(struct heap *h)
{
    for (unsigned c = CLASS_FIRST; c <= CLASS_LAST; c++) {
        uint32_t most = is_favourable(c) || WITHOUT_SLOW_START ? 0 : MAGAZINE_BLOCKS_START;
        if (own_load(&h->magazines[c].capacity) > most)
            lower(h, c, most);
    }
    h->room = (struct room){ 0 };
}

void hak_cache_trim(struct heap *h)
{
    h->trimmed_ms = h->now_ms;
    for (unsigned c = CLASS_FIRST; c <= CLASS_LAST; c++) {
        if (own_load(&h->class_counts[c]) == 0)
            continue;
        struct class_counters *n = hak_heap_counts(h, c);
        uint32_t refilled = (uint32_t)own_load(&n->refilled);
        uint32_t count = hak_magazine_count(&h->magazines[c]);
        if (refilled == n->refilled_then) {
            uint32_t keep = h->prewarm.keep[c];
            if (count > keep)
                hak_heap_flush(h, c, (uint32_t)min_size((count + 1) / 2, count - keep));
            halve(h, c);
        }
        n->refilled_then = refilled;
    }
    hak_recent_trim(&h->recent);
    if (HEAP_HAS_HELD)
        hak_held_trim(&hak_heap_extra(h)->held, h->now_ms, hak_options.purge_delay_ms);
}

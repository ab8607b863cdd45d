// corruption.c: from a block to the bits of the structures that serve it.
//
// Of the calling thread: its heap, its magazine of the block's class. Fields of a slab and those of
// a large or huge block are told apart by the tag; a field that has no meaning for the block is not
// found. The tables are written past their types on purpose: this is the attacker, or the stray
// store, not a part of the allocator.
#include "corruption.h"

#include "ops.h"

#include <heap.h>
#include <large.h>
#include <seam/sanitizer.h>
#include <seam/tls.h>
#include <superslab.h>

typedef struct corruption_bits bits_t;
#define BITS(object) ((bits_t){ (unsigned char *)&(object), sizeof(object) * 8 })
static const bits_t none;

// ---- what serves a block ----

static bool is_small(const void *p)
{
    unsigned tag = hak_arena_has(p) ? hak_tag_of(p) : TAG_NONE;
    return tag >= CLASS_FIRST && tag <= CLASS_LAST;
}

// NULL if it is no block of a size class.
static struct slab *slab_of(const void *p)
{
    return is_small(p) ? hak_slab_of_unit(hak_unit_of(p)) : NULL;
}

// NULL if it is no large or huge block in the arena.
static struct slab *large_of(const void *p)
{
    return hak_arena_has(p) && !is_small(p) ? hak_large_record(p) : NULL;
}

static struct magazine *magazine_of(const void *p)
{
    struct heap *h = tls_heap();
    if (!is_small(p) || !hak_heap_is_real(h))
        return NULL;
    struct magazine *m = &h->magazines[hak_tag_of(p)];
    return hak_magazine_slots(m) != NULL ? m : NULL;
}

static struct heap *heap_of(const void *p)
{
    return is_small(p) && hak_heap_is_real(tls_heap()) ? tls_heap() : NULL;
}

// ---- tags and records ----

static bits_t tag(void *p, uint64_t choice)
{
    (void)choice;
    return hak_arena_has(p) ? BITS(hak_arena.tags[hak_unit_of(p)]) : none;
}

static bits_t tag_of_later_unit(void *p, uint64_t choice)
{
    const struct slab *s = slab_of(p) ? slab_of(p) : large_of(p);
    uint32_t units = s ? own_load(&s->units) : 0;
    return units > 1 ? BITS(hak_arena.tags[hak_slab_unit(s) + 1 + choice % (units - 1)]) : none;
}

static bits_t back_of_later_unit(void *p, uint64_t choice)
{
    struct slab *s = slab_of(p);
    uint32_t units = s ? own_load(&s->units) : 0;
    return units > 1 ? BITS(s[1 + choice % (units - 1)].back) : none;
}

// A field that blocks of classes have, one that large ones have, one that both have.
#define SLAB_FIELD(function, field)                  \
    static bits_t function(void *p, uint64_t choice) \
    {                                                \
        struct slab *s = slab_of(p);                 \
        (void)choice;                                \
        return s ? BITS(s->field) : none;            \
    }
#define LARGE_FIELD(function, field)                 \
    static bits_t function(void *p, uint64_t choice) \
    {                                                \
        struct slab *s = large_of(p);                \
        (void)choice;                                \
        return s ? BITS(s->field) : none;            \
    }
SLAB_FIELD(slab_state, state)
SLAB_FIELD(slab_class_index, class_index)
SLAB_FIELD(slab_units, units)
SLAB_FIELD(slab_blocks, blocks)
SLAB_FIELD(slab_back, back)
SLAB_FIELD(slab_free_blocks, free_blocks)
SLAB_FIELD(slab_handed, handed)
SLAB_FIELD(slab_place, place)
SLAB_FIELD(slab_next, next)
SLAB_FIELD(slab_prev, prev)
SLAB_FIELD(slab_owner, owner)
SLAB_FIELD(slab_link, link)
SLAB_FIELD(slab_pending, pending)
LARGE_FIELD(large_state, state)
LARGE_FIELD(large_class_index, class_index)
LARGE_FIELD(large_units, units)
LARGE_FIELD(large_back, back)
LARGE_FIELD(large_bytes, bytes)
LARGE_FIELD(large_live, live)

// Only classes that track zeroes look at it.
static bits_t slab_touched(void *p, uint64_t choice)
{
    struct slab *s = slab_of(p);
    (void)choice;
    if (!s || hak_class_bytes(hak_tag_of(p)) < ZERO_TRACKED_MIN)
        return none;
    return (bits_t){ (unsigned char *)&s->touched, own_load(&s->blocks) };
}

// The words of a bitmap lie in lines: the first word of one of them.
static unsigned line_of(const struct slab *s, uint64_t choice)
{
    unsigned lines = (hak_slab_words(s) + RECORD_WORDS - 1) / RECORD_WORDS;
    return (unsigned)(choice % lines) * RECORD_WORDS;
}

static size_t bits_of_line(const struct slab *s, unsigned word)
{
    size_t left = own_load(&s->blocks) - word * 64;
    return left < RECORD_WORDS * 64 ? left : RECORD_WORDS * 64;
}

static bits_t free_bits(void *p, uint64_t choice)
{
    struct slab *s = slab_of(p);
    if (!s)
        return none;
    unsigned word = line_of(s, choice);
    return (bits_t){ (unsigned char *)hak_slab_free_word(s, word), bits_of_line(s, word) };
}

// The words behind the bits of blocks, as far as the slab uses any of the word.
static bits_t free_beyond(void *p, uint64_t choice)
{
    struct slab *s = slab_of(p);
    size_t blocks = s ? own_load(&s->blocks) : 0;
    size_t byte = (blocks + 7) / 8, end = (blocks + 63) / 64 * 8;
    (void)choice;
    if (byte >= end)
        return none;
    unsigned char *word = (unsigned char *)hak_slab_free_word(s, (unsigned)(byte / 8));
    return (bits_t){ word + byte % 8, (end - byte) * 8 };
}

static bits_t remote_bits(void *p, uint64_t choice)
{
    struct slab *s = slab_of(p);
    if (!s)
        return none;
    unsigned word = line_of(s, choice);
    return (bits_t){ (unsigned char *)hak_slab_remote_word(s, word), bits_of_line(s, word) };
}

// ---- units ----

static uint32_t superslab_of(const void *p)
{
    return hak_unit_of(p) / SUPERSLAB_UNITS;
}

static bits_t mask_unused(void *p, uint64_t choice)
{
    (void)choice;
    if (!hak_arena_has(p))
        return none;
    return (bits_t){ (unsigned char *)&hak_arena.masks[superslab_of(p)], SUPERSLAB_UNITS };
}

static bits_t mask_empty(void *p, uint64_t choice)
{
    bits_t bits = mask_unused(p, choice);
    bits.start += bits.count / 8;
    return bits;
}

static bits_t hint(const void *p, bool empty)
{
    if (!hak_arena_has(p))
        return none;
    // The byte that has the bit: the hints of eight SuperSlabs.
    uint32_t bit = superslab_of(p);
    return (bits_t){ (unsigned char *)hak_superslab_hint(bit, empty) + bit % 64 / 8, 8 };
}

static bits_t hint_free(void *p, uint64_t choice)
{
    (void)choice;
    return hint(p, false);
}

static bits_t hint_empty(void *p, uint64_t choice)
{
    (void)choice;
    return hint(p, true);
}

static bits_t stamp(void *p, uint64_t choice)
{
    uint32_t first = hak_arena_has(p) ? superslab_of(p) * SUPERSLAB_UNITS : 0;
    return hak_arena_has(p) ? BITS(hak_arena.stamps[first + choice % SUPERSLAB_UNITS]) : none;
}

// ---- magazines and heaps ----

static bits_t magazine_slot(void *p, uint64_t choice)
{
    struct magazine *m = magazine_of(p);
    uint32_t count = m ? hak_magazine_count(m) : 0;
    return count ? BITS(hak_magazine_slots(m)[1 + choice % count]) : none;
}

static bits_t magazine_sentinel(void *p, uint64_t choice)
{
    struct magazine *m = magazine_of(p);
    (void)choice;
    return m ? BITS(hak_magazine_slots(m)[0]) : none;
}

#define MAGAZINE_FIELD(field)                                \
    static bits_t magazine_##field(void *p, uint64_t choice) \
    {                                                        \
        struct magazine *m = magazine_of(p);                 \
        (void)choice;                                        \
        return m ? BITS(m->field) : none;                    \
    }
MAGAZINE_FIELD(top)
MAGAZINE_FIELD(limit)
MAGAZINE_FIELD(slots)
MAGAZINE_FIELD(capacity)
MAGAZINE_FIELD(room)
MAGAZINE_FIELD(miss)
MAGAZINE_FIELD(run)

#define HEAP_FIELD(function, field)                  \
    static bits_t function(void *p, uint64_t choice) \
    {                                                \
        struct heap *h = heap_of(p);                 \
        (void)choice;                                \
        return h ? BITS(h->field) : none;            \
    }
HEAP_FIELD(heap_first, first[hak_tag_of(p)])
HEAP_FIELD(heap_last, last[hak_tag_of(p)])
HEAP_FIELD(heap_kept, kept[hak_tag_of(p)])
HEAP_FIELD(heap_inbox, inbox.head)
HEAP_FIELD(heap_state, state)
HEAP_FIELD(heap_inside, inside)
HEAP_FIELD(heap_next_idle, next_idle)
HEAP_FIELD(heap_class_offset, class_offset[choice % (TABLE_SIZE_MAX / 16 + 1)])
HEAP_FIELD(heap_recent_unit, recent.unit[choice % RECENT_RUNS_MAX])
HEAP_FIELD(heap_recent_count, recent.count)
HEAP_FIELD(heap_recent_units, recent.units)
HEAP_FIELD(heap_room_granted, room.granted)
HEAP_FIELD(heap_room_looked, room.looked)
HEAP_FIELD(heap_room_favoured, room.favoured)
HEAP_FIELD(heap_keep, prewarm.keep[hak_tag_of(p)])
HEAP_FIELD(heap_now, now_ms)
HEAP_FIELD(heap_trimmed, trimmed_ms)
HEAP_FIELD(heap_until_sample, until_sample)
HEAP_FIELD(heap_class_counts, class_counts[hak_tag_of(p)])

static bits_t heap_refilled(void *p, uint64_t choice)
{
    struct heap *h = heap_of(p);
    (void)choice;
    return h ? BITS(hak_heap_counts(h, hak_tag_of(p))->refilled) : none;
}

// Of flavours with mitigations: what stands behind the heap.
static struct heap_extra *extra_of(const void *p)
{
    return HEAP_HAS_EXTRA && heap_of(p) ? hak_heap_extra(heap_of(p)) : NULL;
}

#define EXTRA_FIELD(function, field)                 \
    static bits_t function(void *p, uint64_t choice) \
    {                                                \
        struct heap_extra *x = extra_of(p);          \
        (void)choice;                                \
        return x ? BITS(x->field) : none;            \
    }
EXTRA_FIELD(quarantine_shuffled,
            quarantines[choice >> 32 & 1].shuffled[choice % QUARANTINE_SHUFFLED])
EXTRA_FIELD(quarantine_queue, quarantines[choice >> 32 & 1].queue[choice % QUARANTINE_QUEUE])
EXTRA_FIELD(quarantine_added, quarantines[choice >> 32 & 1].added)
EXTRA_FIELD(quarantine_taken, quarantines[choice >> 32 & 1].taken)
EXTRA_FIELD(quarantine_bytes, quarantines[choice >> 32 & 1].bytes)

// ---- the user's own ----

// What lies behind the block within its slab or its last unit: an overflow that no page stops.
static bits_t block_end(void *p, uint64_t choice)
{
    const struct slab *s = slab_of(p) ? slab_of(p) : large_of(p);
    (void)choice;
    if (!s)
        return none;
    unsigned char *end = (unsigned char *)hak_unit_base(hak_slab_unit(s) + own_load(&s->units));
    unsigned char *at = p;
    at += is_small(p) ? hak_class_bytes(hak_tag_of(p)) : own_load(&s->bytes);
    // Pages behind a large block may have been given back.
    if (!is_small(p) || at >= end)
        return none;
    return (bits_t){ at, (size_t)(end - at < 64 ? end - at : 64) * 8 };
}

// ---- the list ----

#define IF_QUARANTINE(find) (MITIGATE_QUARANTINE ? (find) : NULL)

const struct corruption_field corruption_fields[] = {
    { STRUCTURE_TAG, "tag", "class of the block's unit", tag },
    { STRUCTURE_TAG, "tag (later unit)", "class of another unit of its slab", tag_of_later_unit },
    { STRUCTURE_RECORD, "state", "slab, large, huge or none", slab_state },
    { STRUCTURE_RECORD, "class_index", "size class of the slab", slab_class_index },
    { STRUCTURE_RECORD, "units", "length of the slab", slab_units },
    { STRUCTURE_RECORD, "blocks", "blocks in the slab", slab_blocks },
    { STRUCTURE_RECORD, "back", "units back to the head, in the head", slab_back },
    { STRUCTURE_RECORD, "back (later unit)", "the same in other units", back_of_later_unit },
    { STRUCTURE_RECORD, "free_blocks", "count of free bits", slab_free_blocks },
    { STRUCTURE_RECORD, "handed", "blocks handed out once", slab_handed },
    { STRUCTURE_RECORD, "place", "in which list the slab is", slab_place },
    { STRUCTURE_RECORD, "next", "next slab of the owner's list", slab_next },
    { STRUCTURE_RECORD, "prev", "slab before it", slab_prev },
    { STRUCTURE_RECORD, "touched", "blocks that may not be zero", slab_touched },
    { STRUCTURE_RECORD, "owner", "inbox of the owner heap", slab_owner },
    { STRUCTURE_RECORD, "link", "next slab in an inbox", slab_link },
    { STRUCTURE_RECORD, "pending", "the token of remote frees", slab_pending },
    { STRUCTURE_RECORD, "state (large)", "as state", large_state },
    { STRUCTURE_RECORD, "class_index (large)", "tag of the block", large_class_index },
    { STRUCTURE_RECORD, "units (large)", "length of the block", large_units },
    { STRUCTURE_RECORD, "back (large)", "units back to the head", large_back },
    { STRUCTURE_RECORD, "bytes (large)", "usable bytes", large_bytes },
    { STRUCTURE_RECORD, "live (large)", "handed out", large_live },
    { STRUCTURE_FREE_BITMAP, "free", "blocks that are in the slab", free_bits },
    { STRUCTURE_FREE_BITMAP, "free (beyond blocks)", "bits of no block", free_beyond },
    { STRUCTURE_REMOTE_BITMAP, "remote", "blocks that others freed", remote_bits },
    { STRUCTURE_UNIT_MASKS, "UNUSED", "units without memory", mask_unused },
    { STRUCTURE_UNIT_MASKS, "EMPTY", "free units with memory", mask_empty },
    { STRUCTURE_UNIT_MASKS, "free_hints", "SuperSlabs with free units", hint_free },
    { STRUCTURE_UNIT_MASKS, "empty_hints", "SuperSlabs with EMPTY units", hint_empty },
    { STRUCTURE_UNIT_MASKS, "stamps", "since when a unit is EMPTY", stamp },
    { STRUCTURE_MAGAZINE, "slot", "a cached block", magazine_slot },
    { STRUCTURE_MAGAZINE, "sentinel", "NULL below the first block", magazine_sentinel },
    { STRUCTURE_MAGAZINE, "top", "where the next free writes", magazine_top },
    { STRUCTURE_MAGAZINE, "limit", "where it is full", magazine_limit },
    { STRUCTURE_MAGAZINE, "slots", "its array", magazine_slots },
    { STRUCTURE_MAGAZINE, "capacity", "length of the array", magazine_capacity },
    { STRUCTURE_MAGAZINE, "room", "blocks that the array's memory holds", magazine_room },
    { STRUCTURE_MAGAZINE, "miss", "what it lacked last", magazine_miss },
    { STRUCTURE_MAGAZINE, "run", "how often in a row", magazine_run },
    { STRUCTURE_HEAP, "first", "head of the list of a class", heap_first },
    { STRUCTURE_HEAP, "last", "tail of the list of a class", heap_last },
    { STRUCTURE_HEAP, "kept", "the empty slab that is kept", heap_kept },
    { STRUCTURE_HEAP, "inbox", "slabs with remote frees", heap_inbox },
    { STRUCTURE_HEAP, "state", "whether a thread has it", heap_state },
    { STRUCTURE_HEAP, "inside", "the fork gate", heap_inside },
    { STRUCTURE_HEAP, "next_idle", "list of idle heaps", heap_next_idle },
    { STRUCTURE_HEAP, "class_offset", "from a size to a magazine", heap_class_offset },
    { STRUCTURE_HEAP, "refilled", "a counter of statistics", heap_refilled },
    { STRUCTURE_HEAP, "recent.unit", "kept large runs", heap_recent_unit },
    { STRUCTURE_HEAP, "recent.count", "how many there are", heap_recent_count },
    { STRUCTURE_HEAP, "recent.units", "their length", heap_recent_units },
    { STRUCTURE_HEAP, "room.granted", "bytes that magazines may hold", heap_room_granted },
    { STRUCTURE_HEAP, "room.looked", "magazine looked at last", heap_room_looked },
    { STRUCTURE_HEAP, "room.favoured", "the class of large blocks cached", heap_room_favoured },
    { STRUCTURE_HEAP, "prewarm.keep", "blocks that a trim leaves", heap_keep },
    { STRUCTURE_HEAP, "class_counts", "where counters of a class are", heap_class_counts },
    { STRUCTURE_HEAP, "now_ms", "the clock of its slow path", heap_now },
    { STRUCTURE_HEAP, "trimmed_ms", "when caches were looked at last", heap_trimmed },
    { STRUCTURE_HEAP, "until_sample", "allocations until a sampled one", heap_until_sample },
    { STRUCTURE_HEAP, "quarantine.shuffled", "a block that waits",
      IF_QUARANTINE(quarantine_shuffled) },
    { STRUCTURE_HEAP, "quarantine.queue", "a block that waits in the queue",
      IF_QUARANTINE(quarantine_queue) },
    { STRUCTURE_HEAP, "quarantine.added", "blocks ever queued", IF_QUARANTINE(quarantine_added) },
    { STRUCTURE_HEAP, "quarantine.taken", "blocks ever taken", IF_QUARANTINE(quarantine_taken) },
    { STRUCTURE_HEAP, "quarantine.bytes", "bytes that wait", IF_QUARANTINE(quarantine_bytes) },
    { STRUCTURE_BLOCK_END, "next block", "user memory behind the block", block_end },
};
const unsigned corruption_field_count = sizeof corruption_fields / sizeof *corruption_fields;

// ---- flipping ----

#if defined(HAK_VALGRIND)
#define REPORTS_OFF VALGRIND_DISABLE_ERROR_REPORTING
#define REPORTS_ON VALGRIND_ENABLE_ERROR_REPORTING
#else
#define REPORTS_OFF (void)0
#define REPORTS_ON (void)0
#endif

// What lies behind a block is poisoned for sanitizers and memcheck: they are not to see this write.
__attribute__((no_sanitize("address", "undefined", "thread"))) void corruption_flip(
    struct corruption_bits bits, size_t bit)
{
    REPORTS_OFF;
    bits.start[bit / 8] ^= (unsigned char)(1u << bit % 8);
    REPORTS_ON;
}

static bits_t find(const struct corruption_field *f, unsigned structure, void *block,
                   uint64_t choice)
{
    return f->structure == structure && f->find != NULL ? f->find(block, choice) : none;
}

const struct corruption_field *corruption_locate(unsigned structure, void *block, uint64_t number,
                                                 struct corruption_bits *bits, size_t *bit)
{
    uint64_t total = 0, choice = number >> 8;
    for (unsigned i = 0; i < corruption_field_count; i++)
        total += find(&corruption_fields[i], structure, block, choice).count;
    number %= total ? total : 1;
    for (unsigned i = 0; i < corruption_field_count && total; i++) {
        const struct corruption_field *f = &corruption_fields[i];
        *bits = find(f, structure, block, choice);
        *bit = number;
        if (number < bits->count)
            return f;
        number -= bits->count;
    }
    return NULL;
}

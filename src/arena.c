// arena.c: reservation of the arena and its tables.
//
//   tables:  |guard| tags |guard| hints, masks |guard| records ... |guard| far words ... |guard|
//            stamps ... |guard| meta ... |guard| live bytes (hardened) ... |guard|
//   arena:   |SuperSlab 0|SuperSlab 1| ...                          (its own reservation)
//
// tags, masks and hints are accessible from the start (zero pages until written); records, stamps
// and metadata memory are committed as SuperSlabs are begun and heaps are made. Whatever is not
// committed is PROT_NONE, the guards for ever.
//
// Size: what was asked for, else ARENA_SIZE_MAX; halved until the kernel agrees. Under RLIMIT_AS
// seven eighths of what is left (hardened: a little less), so that the program can still map
// stacks and libraries.

#include "arena.h"

#include <seam/os.h>
#include <seam/sanitizer.h>

#include "options.h"

// Before it is set up no address is inside, whichever of the two a racing reader sees first.
#define NOWHERE ((char *)((uintptr_t)1 << 63))
struct arena hak_arena = { .base = NOWHERE };

// A table that grows with the SuperSlabs begun. Guarded by the lock of superslab.c.
struct growing {
    char *base;
    size_t superslab_bytes; // of the table, per SuperSlab
    size_t committed;
};
static struct growing records, far_words, stamps, live, kinds;
struct live_table hak_live;
#define LIVE_SUPERSLAB_BYTES (SUPERSLAB_SIZE / MALLOC_ALIGN)
static struct own_u64 metadata_bytes;

struct tables {
    size_t tags, masks, records, far_words, stamps, meta, live, kinds,
        total; // offsets and length, bytes
    size_t tags_bytes, hints_bytes, masks_bytes, meta_bytes;
};

static struct tables lay_out(size_t arena_bytes)
{
    size_t page = os_page_size();
    size_t guard = round_up(GUARD_SIZE, page);
    size_t units = arena_bytes >> UNIT_SHIFT;
    size_t superslabs = arena_bytes >> SUPERSLAB_SHIFT;
    struct tables t;
    t.tags_bytes = round_up(units, page);
    // Hints grow down and masks grow up from one place: the first of both share a page, as a rule.
    t.hints_bytes = 2 * (superslabs / 64 + 1) * sizeof(uint64_t);
    t.masks_bytes = round_up(t.hints_bytes + superslabs * sizeof(uint64_t), page);
    t.meta_bytes = round_up(max_size(META_SIZE_MIN, arena_bytes >> META_ARENA_SHIFT), page);
    t.tags = guard;
    t.masks = t.tags + t.tags_bytes + guard;
    t.records = t.masks + t.masks_bytes + guard;
    t.far_words = t.records + round_up(units * RECORD_SIZE, page) + guard;
    t.stamps = t.far_words + round_up(units * FAR_SIZE, page) + guard;
    t.meta = t.stamps + round_up(units * sizeof(struct atomic_u32), page) + guard;
    t.live = t.meta + t.meta_bytes + guard;
    t.kinds = t.live;
    if (MITIGATE_STATE)
        t.kinds += round_up(superslabs * LIVE_SUPERSLAB_BYTES, page) + guard;
    t.total = t.kinds;
    if (MITIGATE_TYPES)
        t.total += round_up(units, page) + guard;
    return t;
}

// Core dumps have what is committed, not what is reserved.
static bool commit(void *p, size_t bytes)
{
    bool done = os_commit(p, bytes);
    if (done)
        os_dump(p, bytes, true);
    return done;
}

// The same of what grows up to `end`, `step` bytes or more at a time. Dumps have one step that is
// not committed yet: so both calls move a border between two mappings and need none more, where
// the program has as many as vm.max_map_count lets it.
bool hak_arena_commit_more(char *p, size_t bytes, size_t step, const char *end)
{
    os_dump(p, min_size(bytes + step, (size_t)(end - p)), true);
    return os_commit(p, bytes);
}

static bool reserve(size_t arena_bytes)
{
    struct tables t = lay_out(arena_bytes);
    char *tables = os_reserve(t.total, os_page_size());
    if (tables == NULL)
        return false;
    os_dump(tables, t.total, false);
    char *base = os_reserve(arena_bytes, SUPERSLAB_SIZE);
    if (base != NULL)
        os_dump(base, arena_bytes, false);
    if (base == NULL || !commit(tables + t.tags, t.tags_bytes) ||
        !commit(tables + t.masks, t.masks_bytes)) {
        if (base != NULL)
            os_release(base, arena_bytes);
        os_release(tables, t.total);
        return false;
    }
    uint32_t superslabs = (uint32_t)(arena_bytes >> SUPERSLAB_SHIFT);
    hak_arena = (struct arena){
        .base = base,
        .bytes = arena_bytes,
        .tags = (struct atomic_u8 *)(tables + t.tags),
        .records = tables + t.records,
        .stamps = (struct atomic_u32 *)(tables + t.stamps),
        .far_words = tables + t.far_words,
        .masks = (struct atomic_u64 *)(tables + t.masks + t.hints_bytes),
        .meta = tables + t.meta,
        .meta_bytes = t.meta_bytes,
        .superslabs = superslabs,
    };
    records = (struct growing){ tables + t.records, SUPERSLAB_UNITS * RECORD_SIZE, 0 };
    far_words = (struct growing){ tables + t.far_words, SUPERSLAB_UNITS * FAR_SIZE, 0 };
    stamps = (struct growing){ tables + t.stamps, SUPERSLAB_UNITS * sizeof(struct atomic_u32), 0 };
    if (MITIGATE_STATE) {
        live = (struct growing){ tables + t.live, LIVE_SUPERSLAB_BYTES, 0 };
        hak_live.origin = (uintptr_t)live.base - (uintptr_t)base / MALLOC_ALIGN;
    }
    if (MITIGATE_TYPES) {
        kinds = (struct growing){ tables + t.kinds, SUPERSLAB_UNITS, 0 };
        hak_live.kinds = (struct atomic_u8 *)kinds.base;
    }
    own_store(&metadata_bytes, t.masks_bytes + t.tags_bytes);
    return true;
}

bool hak_arena_start(size_t bytes_max)
{
    if (os_page_size() > UNIT_SIZE)
        return false;
    size_t bytes = ARENA_SIZE_MAX;
    if (bytes_max != 0)
        bytes = min_size(bytes, max_size(bytes_max, ARENA_SIZE_MIN));
    bytes = min_size(bytes, SANITIZER_ARENA_MAX);
    size_t left = hak_os_address_space_left();
    if (left != SIZE_MAX && MITIGATE_STATE) // the tables take a sixteenth more
        left = (left - min_size(left / 16, META_SIZE_MIN)) / 28 * SMALL_OR(24, 27);
    if (left != SIZE_MAX)
        bytes = min_size(bytes, left / 8 * 7);
    for (; bytes >= ARENA_SIZE_MIN; bytes /= 2)
        if (reserve(round_down(bytes, SUPERSLAB_SIZE)))
            return true;
    return false;
}

static bool grow(struct growing *table, uint32_t superslabs)
{
    size_t end = round_up(superslabs * table->superslab_bytes, os_page_size());
    if (end <= table->committed)
        return true;
    size_t bytes = end - table->committed;
    size_t step = round_up(table->superslab_bytes, os_page_size());
    size_t whole = round_up(hak_arena.superslabs * table->superslab_bytes, os_page_size());
    if (!hak_arena_commit_more(table->base + table->committed, bytes, step, table->base + whole))
        return false;
    table->committed = end;
    own_store(&metadata_bytes, own_load(&metadata_bytes) + bytes);
    return true;
}

bool hak_arena_commit(uint32_t first, uint32_t count)
{
    // A table that has grown already when the next step fails is only ahead of its use.
    char *base = hak_arena.base + (size_t)first * SUPERSLAB_SIZE;
    size_t bytes = (size_t)count * SUPERSLAB_SIZE;
    if (!grow(&records, first + count) || !grow(&far_words, first + count) ||
        !grow(&stamps, first + count) ||
        !hak_arena_commit_more(base, bytes, SUPERSLAB_SIZE, hak_arena.base + hak_arena.bytes))
        return false;
    if ((MITIGATE_STATE && !grow(&live, first + count)) ||
        (MITIGATE_TYPES && !grow(&kinds, first + count)))
        return false;
    if (hak_options.huge_pages != 0)
        os_advise_huge(base, bytes);
    sanitize_own(base, bytes);
    return true;
}

size_t hak_arena_metadata_bytes(void)
{
    return own_load(&metadata_bytes);
}

void hak_set_tags(uint32_t unit, uint32_t units, unsigned tag)
{
    for (uint32_t i = 0; i < units; i++)
        store_relaxed(ARENA_TAG_WRITE, &hak_arena.tags[unit + i], (uint8_t)tag);
}

void hak_live_forget(uint32_t unit, uint32_t units)
{
    size_t page = os_page_size();
    uintptr_t from = hak_live.origin + (uintptr_t)hak_unit_base(unit) / MALLOC_ALIGN;
    uintptr_t first = round_up(from, page);
    uintptr_t end = round_down(from + units * UNIT_SIZE / MALLOC_ALIGN, page);
    if (first < end)
        (void)os_decommit((void *)first, end - first); // a failure is counted; then they stay
}

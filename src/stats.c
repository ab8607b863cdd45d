// stats.c: statistics, summed from what owners and the pool count, as structures, text and JSON.
//
// Nothing is counted here. Owners write their counters with plain stores, so a sum read while other
// threads work is a little old, never torn. What can be derived is not counted: live blocks are
// capacity less free, remote and cached ones, each read at another moment, so a class under load
// can be off by the blocks in flight.

#include <seam/os.h>

#include "attach.h"
#include "foreign.h"
#include "guard.h"
#include "hakmem.h"
#include "heaps.h"
#include "large.h"
#include "mapped.h"
#include "meta.h"
#include "options.h"
#include "print.h"

static void add_slab(struct hak_class_stats *c, const struct slab *s)
{
    uint32_t blocks = own_load(&s->blocks);
    uint32_t resting = own_load(&s->free_blocks) + hak_remote_count(s);
    c->slabs++;
    c->capacity += blocks;
    c->live += resting < blocks ? blocks - resting : 0;
}

// Blocks that wait in a heap's quarantine count as cached.
static void add_quarantine(struct hak_class_stats classes[CLASS_COUNT + 1], struct heap *h)
{
    for (uint32_t i = 0; i < QUARANTINE_BLOCKS_MAX; i++) {
        const void *p = hak_quarantine_at(&hak_heap_extra(h)->quarantine, i);
        unsigned tag = p != NULL ? hak_tag_of(p) : TAG_NONE;
        if (tag <= CLASS_LAST)
            classes[tag].cached++; // [0] is none
    }
}

// All classes at once: one walk over the records, one over the heaps.
static void collect(struct hak_class_stats classes[CLASS_COUNT + 1])
{
    __builtin_memset(classes, 0, (CLASS_COUNT + 1) * sizeof classes[0]);
    uint32_t unit = 0;
    uint32_t end = hak_superslabs_begun() * SUPERSLAB_UNITS;
    for (const struct slab *s; (s = hak_slab_walk(&unit, end)) != NULL;) {
        uint32_t class_index = own_load(&s->class_index);
        if (own_load(&s->state) == SLAB_ACTIVE && class_index <= CLASS_LAST)
            add_slab(&classes[class_index], s);
    }
    for (uint32_t i = 0, count = hak_heaps_count(); i < count; i++) {
        struct heap *h = hak_heaps_at(i);
        if (MITIGATE_QUARANTINE)
            add_quarantine(classes, h);
        for (unsigned c = CLASS_FIRST; c <= CLASS_LAST; c++) {
            classes[c].cached += hak_magazine_count(&h->magazines[c]);
            classes[c].refilled += own_load(&h->counters.refilled[c]);
            classes[c].flushed += own_load(&h->counters.flushed[c]);
        }
    }
    for (unsigned c = CLASS_FIRST; c <= CLASS_LAST; c++) {
        uint64_t out = classes[c].live; // handed out or in a magazine
        classes[c].block_bytes = hak_class_bytes(c);
        classes[c].live = out > classes[c].cached ? out - classes[c].cached : 0;
    }
}

static void add_heaps(struct hak_stats *out)
{
    out->heaps = hak_heaps_count();
    out->heaps_idle = hak_heaps_idle();
    for (uint32_t i = 0; i < out->heaps; i++) {
        const struct heap_counters *c = &hak_heaps_at(i)->counters;
        out->slabs_from_empty += own_load(&c->stage[POOL_FROM_EMPTY]);
        out->slabs_from_unused += own_load(&c->stage[POOL_FROM_UNUSED]);
        out->slabs_from_new += own_load(&c->stage[POOL_FROM_NEW]);
        out->slabs_released += own_load(&c->released);
        out->remote_freed += own_load(&c->remote_freed);
        out->remote_drained += own_load(&c->remote_drained);
        out->drains += own_load(&c->drains);
        out->sweeps += own_load(&c->sweeps);
        out->adopted += own_load(&c->adopted);
        out->refills += own_load(&c->refills);
        out->flushes += own_load(&c->flushes);
    }
}

void hak_get_stats(struct hak_stats *out)
{
    __builtin_memset(out, 0, sizeof *out);
    out->foreign_frees = hak_foreign_total();
    hak_os_page_faults(&out->page_faults_minor, &out->page_faults_major);
    if (!hak_started())
        return;
    struct hak_class_stats classes[CLASS_COUNT + 1];
    collect(classes);
    for (unsigned c = CLASS_FIRST; c <= CLASS_LAST; c++) {
        out->live_bytes += classes[c].live * classes[c].block_bytes;
        out->cached_bytes += classes[c].cached * classes[c].block_bytes;
    }
    struct large_counts large = hak_large_live();
    struct pool_stats pool = hak_pool_stats();
    size_t mapped_bytes = hak_mapped_bytes();
    out->live_bytes += large.bytes + mapped_bytes;
    out->large_live = large.large;
    out->mapped_live = hak_mapped_count();
    out->huge_live = large.huge + out->mapped_live;
    out->reserved_bytes = hak_arena.bytes;
    out->committed_bytes = hak_superslab_bytes_committed() + mapped_bytes;
    if (HEAP_HAS_HELD)
        out->committed_bytes -= hak_inaccessible_bytes();
    out->committed_peak_bytes = hak_superslab_bytes_committed_peak() + mapped_bytes;
    out->empty_bytes = hak_pool_empty_units() << UNIT_SHIFT;
    out->metadata_bytes = hak_arena_metadata_bytes() + hak_meta_bytes();
    out->superslabs = hak_superslabs_begun();
    out->purges = pool.purges;
    out->purged_bytes = pool.purged_units << UNIT_SHIFT;
    out->os_failures = hak_os_failures();
    add_heaps(out);
}

bool hak_get_class_stats(unsigned index, struct hak_class_stats *out)
{
    if (index >= CLASS_COUNT)
        return false;
    struct hak_class_stats classes[CLASS_COUNT + 1];
    if (hak_started())
        collect(classes);
    else
        classes[CLASS_FIRST + index] = (struct hak_class_stats){ 0 };
    classes[CLASS_FIRST + index].block_bytes = hak_class_size(CLASS_FIRST + index);
    *out = classes[CLASS_FIRST + index];
    return true;
}

// ---- reports ----

struct row {
    const char *name;
    size_t offset; // of a uint64_t in struct hak_stats
};

#define ROW(field)                                \
    {                                             \
#field, offsetof(struct hak_stats, field) \
    }
static const struct row rows[] = {
    ROW(reserved_bytes),
    ROW(committed_bytes),
    ROW(committed_peak_bytes),
    ROW(live_bytes),
    ROW(cached_bytes),
    ROW(empty_bytes),
    ROW(metadata_bytes),
    ROW(heaps),
    ROW(heaps_idle),
    ROW(superslabs),
    ROW(slabs_from_empty),
    ROW(slabs_from_unused),
    ROW(slabs_from_new),
    ROW(slabs_released),
    ROW(remote_freed),
    ROW(remote_drained),
    ROW(drains),
    ROW(sweeps),
    ROW(adopted),
    ROW(refills),
    ROW(flushes),
    ROW(purges),
    ROW(purged_bytes),
    ROW(large_live),
    ROW(huge_live),
    ROW(mapped_live),
    ROW(foreign_frees),
    ROW(os_failures),
    ROW(page_faults_minor),
    ROW(page_faults_major),
};
#define ROWS (sizeof rows / sizeof rows[0])
_Static_assert(ROWS * sizeof(uint64_t) == sizeof(struct hak_stats), "every counter has a row");

static uint64_t value_of(const struct hak_stats *stats, const struct row *r)
{
    return *(const uint64_t *)((const char *)stats + r->offset);
}

void hak_print_stats(int fd)
{
    char buffer[1024];
    struct printer out;
    struct hak_stats stats;
    struct hak_class_stats c;
    hak_get_stats(&stats);
    hak_print_to_fd(&out, buffer, sizeof buffer, fd);
    hak_put_text(&out, "hakmem ");
    hak_put_text(&out, hak_version());
    hak_put_text(&out, "\n");
    for (size_t i = 0; i < ROWS; i++) {
        hak_put_text_column(&out, rows[i].name, 24);
        hak_put_decimal_column(&out, value_of(&stats, &rows[i]), 16);
        hak_put_text(&out, "\n");
    }
    hak_put_text(&out, "   block bytes      slabs   capacity       live     cached"
                       "     refilled      flushed\n");
    for (unsigned i = 0; hak_get_class_stats(i, &c); i++) {
        if (c.slabs == 0 && c.refilled == 0)
            continue;
        hak_put_decimal_column(&out, c.block_bytes, 14);
        hak_put_decimal_column(&out, c.slabs, 11);
        hak_put_decimal_column(&out, c.capacity, 11);
        hak_put_decimal_column(&out, c.live, 11);
        hak_put_decimal_column(&out, c.cached, 11);
        hak_put_decimal_column(&out, c.refilled, 13);
        hak_put_decimal_column(&out, c.flushed, 13);
        hak_put_text(&out, "\n");
    }
    hak_print_end(&out);
}

void hak_print_stats_json(int fd)
{
    char buffer[1024];
    struct printer out;
    struct hak_stats stats;
    struct hak_class_stats c;
    bool first = true;
    hak_get_stats(&stats);
    hak_print_to_fd(&out, buffer, sizeof buffer, fd);
    hak_put_text(&out, "{\"version\": \"");
    hak_put_text(&out, hak_version());
    hak_put_text(&out, "\", ");
    for (size_t i = 0; i < ROWS; i++)
        hak_put_json(&out, &first, rows[i].name, value_of(&stats, &rows[i]));
    hak_put_text(&out, ", \"classes\": [");
    for (unsigned i = 0; hak_get_class_stats(i, &c); i++) {
        hak_put_text(&out, i == 0 ? "{" : ", {");
        first = true;
        hak_put_json(&out, &first, "block_bytes", c.block_bytes);
        hak_put_json(&out, &first, "slabs", c.slabs);
        hak_put_json(&out, &first, "capacity", c.capacity);
        hak_put_json(&out, &first, "live", c.live);
        hak_put_json(&out, &first, "cached", c.cached);
        hak_put_json(&out, &first, "refilled", c.refilled);
        hak_put_json(&out, &first, "flushed", c.flushed);
        hak_put_text(&out, "}");
    }
    hak_put_text(&out, "]}\n");
    hak_print_end(&out);
}

void hak_print_foreign(int fd)
{
    char buffer[256];
    struct printer out;
    const void *site;
    uint64_t frees;
    hak_print_to_fd(&out, buffer, sizeof buffer, fd);
    hak_put_text(&out, "hakmem: frees of foreign pointers: ");
    hak_put_decimal(&out, hak_foreign_total());
    hak_put_text(&out, "\n");
    for (unsigned rank = 0; rank < 16 && hak_foreign_site(rank, &site, &frees); rank++) {
        hak_put_decimal_column(&out, frees, 12);
        hak_put_text(&out, " from ");
        hak_put_hex(&out, (uintptr_t)site);
        hak_put_text(&out, "\n");
    }
    hak_print_end(&out);
}

__attribute__((destructor)) static void report_at_exit(void)
{
    if (!hak_started())
        return;
    if (hak_options.stats == 1)
        hak_print_stats(2);
    if (hak_options.stats == 2)
        hak_print_stats_json(2);
    if (hak_options.foreign != 0)
        hak_print_foreign(2);
}

// stats.c: statistics, summed from what owners and the pool count.
//
// Nothing is counted here. Owners write their counters with plain stores, so a sum read while other
// threads work is a little old, never torn. What can be derived is not counted: live blocks are
// capacity less free, remote and cached ones, each read at another moment, so a class under load
// can be off by the blocks in flight.
//
// For a magazine, `left` blocks of which were there after its last slow path and `count` now:
//
//   mallocs - frees == refilled - flushed - count            each block that came is still there,
//                                                            went out, or went back
//   hits of malloc since >= left - count                     they are gone, and no one flushed
#include "stats.h"

#include <seam/lock.h>
#include <seam/os.h>

#include "attach.h"
#include "foreign.h"
#include "guard.h"
#include "heaps.h"
#include "large.h"
#include "mapped.h"
#include "meta.h"
#include "options.h"
#include "profile.h"
#include "profiled.h"
#include "print.h"
#include "retries.h"
#include "sampled.h"

static uint64_t or_zero(uint64_t difference) // of counters that were read at different moments
{
    return (int64_t)difference < 0 ? 0 : difference;
}

// Adds what was counted in one set, of a magazine with `cached` blocks.
static void add_counts(struct hak_flow *flow, const struct class_counters *n, uint32_t cached)
{
    uint32_t left = own_load(&n->left);
    uint64_t hits = own_load(&n->malloc_hits) + (left > cached ? left - cached : 0);
    uint64_t misses = own_load(&n->malloc_misses);
    uint64_t free_misses = own_load(&n->free_misses);
    uint64_t refilled = own_load(&n->refilled);
    uint64_t flushed = own_load(&n->flushed);
    uint64_t remote = own_load(&n->flushed_remote);
    uint64_t runs_remote = own_load(&n->runs_remote);
    flow->malloc_hits += hits;
    flow->malloc_misses += misses;
    flow->free_hits += or_zero(hits + misses + cached + flushed - refilled - free_misses);
    flow->free_misses += free_misses;
    flow->refilled += refilled;
    flow->flushed_own += or_zero(flushed - remote);
    flow->flushed_remote += remote;
    flow->runs_own += or_zero(own_load(&n->runs) - runs_remote);
    flow->runs_remote += runs_remote;
    flow->from_current += own_load(&n->taken[REFILL_CURRENT]);
    flow->from_partial += own_load(&n->taken[REFILL_PARTIAL]);
    flow->from_inbox += own_load(&n->taken[REFILL_INBOX]);
    flow->from_empty += own_load(&n->taken[REFILL_POOL_EMPTY]);
    flow->from_unused += own_load(&n->taken[REFILL_POOL_UNUSED]);
    flow->from_new += own_load(&n->taken[REFILL_POOL_NEW]);
}

// Adds a class of a heap.
static void add_flow(struct hak_flow *flow, struct heap *h, unsigned class_index)
{
    if (own_load(&h->class_counts[class_index]) != 0)
        add_counts(flow, hak_heap_counts(h, class_index),
                   hak_magazine_count(&h->magazines[class_index]));
}

// ---- classes ----

static void add_slab(struct hak_class_stats *c, const struct slab *s)
{
    uint32_t blocks = own_load(&s->blocks);
    uint32_t free = own_load(&s->free_blocks), remote = hak_remote_count(s);
    c->slabs++;
    c->capacity += blocks;
    c->free += free;
    c->remote += remote;
    c->live += free + remote < blocks ? blocks - free - remote : 0; // less the cached, later
}

// Blocks that wait in a heap's quarantine count as cached.
static void add_quarantine(struct hak_class_stats *classes, struct heap *h)
{
    for (uint32_t i = 0; i < HEAP_WAITING_MAX; i++) {
        const void *p = hak_heap_waiting(h, i);
        unsigned tag = p != NULL ? hak_tag_of(p) : TAG_NONE;
        if (tag != TAG_NONE && tag <= CLASS_LAST)
            classes[tag - CLASS_FIRST].cached++;
    }
}

// All classes at once: one walk over the records, one over the heaps.
static void collect_classes(struct hak_class_stats classes[CLASS_COUNT])
{
    __builtin_memset(classes, 0, CLASS_COUNT * sizeof classes[0]);
    for (unsigned c = 0; c < CLASS_COUNT; c++)
        classes[c].block_bytes = hak_class_size(CLASS_FIRST + c);
    if (!hak_started())
        return;
    uint32_t unit = 0;
    uint32_t end = hak_superslabs_begun() * SUPERSLAB_UNITS;
    for (const struct slab *s; (s = hak_slab_walk(&unit, end)) != NULL;) {
        uint32_t i = own_load(&s->class_index) - CLASS_FIRST;
        if (own_load(&s->state) == SLAB_ACTIVE && i < CLASS_COUNT)
            add_slab(&classes[i], s);
    }
    for (uint32_t i = 0, count = hak_heaps_count(); i < count; i++) {
        struct heap *h = hak_heaps_at(i);
        if (MITIGATE_QUARANTINE)
            add_quarantine(classes, h);
        for (unsigned c = 0; c < CLASS_COUNT; c++) {
            classes[c].cached += hak_magazine_count(&h->magazines[CLASS_FIRST + c]);
            add_flow(&classes[c].flow, h, CLASS_FIRST + c);
        }
    }
    for (unsigned c = 0; c < CLASS_COUNT; c++)
        classes[c].live = or_zero(classes[c].live - classes[c].cached);
}

// ---- heaps ----

// Page faults of a thread: fields 10 and 12 of its line in /proc, the name of the program before
// them can hold anything.
static void read_faults(uint32_t thread, uint64_t *minor, uint64_t *major)
{
    char text[512];
    struct printer path;
    size_t bytes, at = 0;
    hak_print_to_buffer(&path, text, sizeof text);
    hak_put_text(&path, "/proc/self/task/");
    hak_put_decimal(&path, thread);
    hak_put_text(&path, "/stat");
    if (thread == 0 || hak_os_read_file(text, text, sizeof text, &bytes) != OS_READ_ALL)
        return;
    for (size_t i = 0; i < bytes; i++)
        at = text[i] == ')' ? i : at;
    for (unsigned field = 2; at < bytes && field <= 12; at++) {
        if (text[at] == ' ')
            field++;
        else if (text[at] >= '0' && text[at] <= '9' && (field == 10 || field == 12))
            *(field == 10 ? minor : major) *= 10,
                *(field == 10 ? minor : major) += (uint64_t)(text[at] - '0');
    }
}

static void add_heap(struct hak_heap_stats *out, struct heap *h)
{
    const struct heap_counters *c = &h->counters;
    add_counts(&out->flow, &h->bare_counts, 0);
    for (unsigned i = CLASS_FIRST; i <= CLASS_LAST; i++) {
        add_flow(&out->flow, h, i);
        out->cached_bytes += hak_magazine_count(&h->magazines[i]) * hak_class_bytes(i);
    }
    out->failures += own_load(&c->failures);
    out->slabs_released += own_load(&c->released);
    out->flushes += own_load(&c->flushes);
    out->remote_drained += own_load(&c->drained);
    out->drains += own_load(&c->drains);
    out->drained_slabs += own_load(&c->drained_slabs);
    out->sweeps += own_load(&c->sweeps);
    out->adopted += own_load(&c->adopted);
    out->purges += own_load(&c->purges);
    out->purged_bytes += own_load(&c->purged_units) << UNIT_SHIFT;
    out->large_kept += own_load(&c->large_taken[LARGE_KEPT]);
    out->large_empty += own_load(&c->large_taken[LARGE_POOL_EMPTY]);
    out->large_unused += own_load(&c->large_taken[LARGE_POOL_UNUSED]);
    out->large_new += own_load(&c->large_taken[LARGE_POOL_NEW]);
}

bool hak_get_heap_stats(unsigned index, struct hak_heap_stats *out)
{
    if (!hak_started() || index >= hak_heaps_count())
        return false;
    struct heap *h = hak_heaps_at(index);
    *out = (struct hak_heap_stats){ .heap = index,
                                    .thread = own_load(&h->thread),
                                    .threads = own_load(&h->threads) };
    add_heap(out, h);
    read_faults(own_load(&h->thread), &out->page_faults_minor, &out->page_faults_major);
    return true;
}

static void collect_heaps(struct hak_stats *out)
{
    struct hak_heap_stats sum = { 0 };
    out->heaps = hak_heaps_count();
    out->heaps_idle = hak_heaps_idle();
    for (uint32_t i = 0; i < out->heaps; i++)
        add_heap(&sum, hak_heaps_at(i));
    out->flow = sum.flow;
    out->failures = sum.failures;
    out->slabs_released = sum.slabs_released;
    out->flushes = sum.flushes;
    out->remote_freed = sum.flow.flushed_remote + hak_heaps_guest_frees();
    out->remote_drained = sum.remote_drained;
    out->drains = sum.drains;
    out->drained_slabs = sum.drained_slabs;
    out->sweeps = sum.sweeps;
    out->adopted = sum.adopted;
    out->purges = sum.purges;
    out->purged_bytes = sum.purged_bytes;
    out->large_kept = sum.large_kept;
    out->large_empty = sum.large_empty;
    out->large_unused = sum.large_unused;
    out->large_new = sum.large_new;
}

// ---- all ----

static void collect_memory(struct hak_stats *out)
{
    struct large_counts large = hak_large_live();
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
    out->count_hits = hak_options.count_hits;
}

void hak_stats_collect(struct collected *out)
{
    struct hak_stats *totals = &out->totals;
    __builtin_memset(totals, 0, sizeof *totals);
    totals->foreign_frees = hak_foreign_total();
    totals->os_failures = hak_os_failures();
    hak_os_page_faults(&totals->page_faults_minor, &totals->page_faults_major);
    collect_classes(out->classes);
    if (!hak_started())
        return;
    for (unsigned c = 0; c < CLASS_COUNT; c++) {
        totals->live_bytes += out->classes[c].live * out->classes[c].block_bytes;
        totals->cached_bytes += out->classes[c].cached * out->classes[c].block_bytes;
    }
    collect_memory(totals);
    collect_heaps(totals);
}

void hak_get_stats(struct hak_stats *out)
{
    struct collected all;
    hak_stats_collect(&all);
    *out = all.totals;
}

bool hak_get_class_stats(unsigned index, struct hak_class_stats *out)
{
    if (index >= CLASS_COUNT)
        return false;
    struct hak_class_stats classes[CLASS_COUNT];
    collect_classes(classes);
    *out = classes[index];
    return true;
}

bool hak_get_lock_stats(unsigned index, struct hak_lock_stats *out)
{
    static const struct {
        const char *name;
        const struct lock *(*lock)(void);
    } locks[] = {
        { "start", hak_attach_lock },     { "heaps", hak_heaps_lock },
        { "arena", hak_superslabs_lock }, { "mapped", hak_mapped_lock },
        { "sampled", hak_sampled_lock },  { "profiled", hak_profiled_lock },
        { "profile", hak_profile_lock },  { "metadata", hak_meta_lock },
    };
    if (index >= sizeof locks / sizeof locks[0])
        return false;
    const struct lock *l = locks[index].lock();
    *out = (struct hak_lock_stats){ locks[index].name, own_load(&l->contended),
                                    own_load(&l->slept) };
    return true;
}

bool hak_get_retry_stats(unsigned index, struct hak_retry_stats *out)
{
    const char *name = hak_retries_name(index);
    if (name == NULL)
        return false;
    *out = (struct hak_retry_stats){ name, hak_retries(index) };
    return true;
}

// profiled.c: slabs that no heap owns, under one lock.
//
//   first[c] -> slab -> slab     those with free bits; a slab whose blocks are all free is released
//   tag of all their units: TAG_PROFILED;  class_index of the record: the class
//
// Blocks come and go at the rate of samples, so a lock is cheap enough, nothing is cached, and
// every mistake with a block is seen at its free. Nobody marks remote bits here; but a late
// notification of an old life of the units may still put a slab into the inbox: then it is not
// released before it was taken out (remote.c).
#include "profiled.h"

#include <seam/lock.h>
#include <seam/os.h>

#include "fault.h"

static struct {
    struct lock lock; // rank RANK_PROFILED: guards all of this, and the slabs
    struct slab *first[CLASS_COUNT + 1];
    uint32_t listed;
    struct inbox inbox;
} profiled = { .lock = LOCK_INIT(RANK_PROFILED) };

void hak_profiled_start(void)
{
    __builtin_memset(profiled.first, 0, sizeof profiled.first);
    profiled.listed = 0;
    init_cell(&profiled.inbox.head, NULL);
}

static void link_slab(struct slab *s, unsigned class_index)
{
    s->place = PLACE_PARTIAL;
    s->prev = NULL;
    s->next = profiled.first[class_index];
    if (s->next != NULL)
        s->next->prev = s;
    profiled.first[class_index] = s;
    profiled.listed++;
}

static void unlink_slab(struct slab *s, unsigned class_index)
{
    if (s->prev != NULL)
        s->prev->next = s->next;
    else
        profiled.first[class_index] = s->next;
    if (s->next != NULL)
        s->next->prev = s->prev;
    s->place = PLACE_FULL;
    s->next = s->prev = NULL;
    profiled.listed--;
}

static struct slab *begin_slab(unsigned class_index)
{
    const struct size_class *c = &hak_classes[class_index];
    struct run r;
    if (hak_pool_acquire_kind(class_index, c->units, c->units_min, 1, POOL_ANY, &r) == POOL_NONE)
        return NULL;
    struct slab *s = hak_slab_at(r.unit);
    hak_slab_begin(s, class_index, r.units, false);
    hak_set_tags(r.unit, r.units, TAG_PROFILED);
    hak_remote_begin(s, &profiled.inbox);
    link_slab(s, class_index);
    return s;
}

static void release_if_empty(struct slab *s, uint64_t now_ms)
{
    if (!hak_slab_is_empty(s) || !hak_remote_try_hold(s))
        return;
    unlink_slab(s, own_load(&s->class_index));
    uint32_t units = own_load(&s->units);
    hak_slab_end(s);
    hak_pool_release(hak_slab_unit(s), units, now_ms);
}

static void drain(uint64_t now_ms)
{
    struct slab *next;
    for (struct slab *s = hak_remote_take_all(&profiled.inbox); s != NULL; s = next) {
        hak_remote_settle(s, &next);
        release_if_empty(s, now_ms);
    }
}

void *hak_profiled_alloc(struct heap *h, unsigned class_index)
{
    void *p = NULL;
    lock_acquire(&profiled.lock);
    drain(h != NULL ? h->now_ms : os_clock_ms());
    struct slab *s = profiled.first[class_index];
    if (s == NULL)
        s = begin_slab(class_index);
    if (s != NULL) {
        hak_slab_take(s, &p, 1);
        if (own_load(&s->free_blocks) == 0)
            unlink_slab(s, class_index);
    }
    lock_release(&profiled.lock);
    return p;
}

void hak_profiled_free(struct heap *h, void *p)
{
    lock_acquire(&profiled.lock);
    struct slab *s = hak_slab_of_unit(hak_unit_of(p));
    unsigned class_index = own_load(&s->class_index);
    uint32_t index = hak_slab_index(s, p);
    if (unlikely(index == UINT32_MAX))
        hak_fault(FAULT_INTERIOR_FREE, p, class_index);
    if (unlikely(index >= own_load(&s->handed)))
        hak_fault(FAULT_NEVER_ALLOCATED, p, class_index);
    if (unlikely(hak_slab_give(s, index / 64, (uint64_t)1 << index % 64) != 0))
        hak_fault(FAULT_DOUBLE_FREE, p, class_index);
    if (s->place == PLACE_FULL)
        link_slab(s, class_index);
    release_if_empty(s, h != NULL ? h->now_ms : os_clock_ms());
    lock_release(&profiled.lock);
}

bool hak_profiled_owns(const struct slab *s)
{
    return hak_remote_is_owner(s, &profiled.inbox);
}

uint32_t hak_profiled_listed(void)
{
    return profiled.listed;
}

const struct lock *hak_profiled_lock(void)
{
    return &profiled.lock;
}

const struct inbox *hak_profiled_inbox(void)
{
    return &profiled.inbox;
}

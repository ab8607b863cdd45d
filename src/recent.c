// recent.c: a stack of runs of units, per heap.
//
//   freed -> |committed, record LARGE or HUGE, live == 0| -> handed out again, or EMPTY
//
//   count <= RECENT_RUNS_MAX;  count * units <= RECENT_UNITS_MAX and a share of the arena;  all are
//   `units` long, as the latest request was
#include "recent.h"

#include "pool.h"

struct slab *hak_recent_take(struct recent *r, uint32_t units)
{
    if (r->units != units) { // what is kept may serve this request in another way
        hak_recent_release(r);
        r->units = units;
    }
    if (r->count == 0)
        return NULL;
    r->hit = true;
    return hak_slab_at(r->unit[--r->count]);
}

bool hak_recent_keep(struct recent *r, struct slab *s, uint64_t now_ms)
{
    size_t units = (size_t)(r->count + 1) * r->units;
    if (own_load(&s->units) != r->units || r->count == RECENT_RUNS_MAX ||
        units > RECENT_UNITS_MAX || units > (hak_arena.bytes >> UNIT_SHIFT) / RECENT_ARENA_SHARE)
        return false;
    r->unit[r->count++] = hak_slab_unit(s);
    r->kept_ms = now_ms;
    return true;
}

void hak_recent_release(struct recent *r)
{
    while (r->count != 0) {
        struct slab *s = hak_slab_at(r->unit[--r->count]);
        hak_slab_end(s);
        hak_pool_release_huge(hak_slab_unit(s), r->units, true, r->kept_ms);
    }
}

void hak_recent_trim(struct recent *r)
{
    if (!r->hit)
        hak_recent_release(r);
    r->hit = false;
}

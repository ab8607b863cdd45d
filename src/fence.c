// fence.c: the guards of one block. What they are is in its record, so nothing else is kept.
#include "fence.h"

#include <seam/os.h>

#include "guard.h"

struct margin hak_fence_margin(struct random_source *random, size_t align_units)
{
    uint32_t steps = GUARD_FIRST_BITS == 0 ? 1 : 1 + hak_random_bits(random, 1);
    return (struct margin){
        .before = align_units > SUPERSLAB_UNITS ? 0 : (uint32_t)(align_units * steps),
        .behind = hak_random_bits(random, GUARD_RANDOM_BITS),
    };
}

static size_t last_guard(const struct slab *s, size_t end)
{
    return own_load(&s->units) * UNIT_SIZE - end;
}

static void set_last(struct slab *s, size_t end)
{
    size_t bytes = last_guard(s, end);
    bool done = bytes != 0 && hak_guard_set(hak_slab_base(s) + end, bytes);
    own_store(&s->touched, done ? bytes : 0);
    s->place += done;
    hak_inaccessible_add(done ? (int64_t)bytes : 0);
}

// It is as long already, as far as the system is asked.
static void note_last(struct slab *s, size_t end)
{
    size_t before = own_load(&s->touched), bytes = last_guard(s, end);
    own_store(&s->touched, bytes);
    hak_inaccessible_add((int64_t)bytes - (int64_t)before);
}

void hak_fence_set(struct slab *s, uint32_t lead, size_t end)
{
    uint32_t first = hak_slab_unit(s) - lead;
    own_store(&s->handed, lead);
    hak_set_tags(first, lead, own_load(&s->class_index));
    s->place = lead != 0 && hak_guard_set(hak_unit_base(first), lead * UNIT_SIZE);
    hak_inaccessible_add(s->place != 0 ? (int64_t)(lead * UNIT_SIZE) : 0);
    set_last(s, end);
}

bool hak_fence_move(struct slab *s, size_t end, bool keep)
{
    size_t bytes = last_guard(s, end), has = own_load(&s->touched);
    if (bytes == 0)
        return hak_fence_remove_last(s);
    if (has == 0) {
        set_last(s, end);
        return true;
    }
    if (bytes < has && !os_commit(hak_slab_base(s) + end - (has - bytes), has - bytes))
        return false;
    char *base = hak_slab_base(s);
    if (bytes > has &&
        !(keep ? os_hide(base + end, bytes - has) : os_protect_none(base + end, bytes - has)))
        return true; // it stays shorter
    note_last(s, end);
    return true;
}

size_t hak_fence_open_bytes(const struct slab *s)
{
    return own_load(&s->units) * UNIT_SIZE - own_load(&s->touched);
}

bool hak_fence_grow(struct slab *s, size_t end)
{
    if (own_load(&s->touched) != 0 && end <= hak_fence_open_bytes(s))
        return true;
    size_t more = min_size(end, last_guard(s, end) / 2);
    return hak_fence_move(s, end + round_down(more, os_page_size()), false);
}

bool hak_fence_open(struct slab *s, size_t end)
{
    bool guarded = own_load(&s->touched) != 0 && last_guard(s, end) != 0;
    if (!os_commit(hak_slab_base(s), guarded ? end : own_load(&s->units) * UNIT_SIZE))
        return false;
    if (guarded)
        note_last(s, end);
    else
        set_last(s, end);
    return true;
}

bool hak_fence_remove_last(struct slab *s)
{
    size_t bytes = own_load(&s->touched);
    if (bytes == 0)
        return true;
    char *end = hak_slab_base(s) + own_load(&s->units) * UNIT_SIZE;
    if (!os_commit(end - bytes, bytes))
        return false;
    own_store(&s->touched, 0);
    s->place--;
    hak_inaccessible_add(-(int64_t)bytes);
    hak_guard_dropped(1);
    return true;
}

void hak_fence_drop(struct slab *s)
{
    size_t last = own_load(&s->touched);
    bool has_first = s->place > (last != 0);
    hak_inaccessible_add(-(int64_t)(last + (has_first ? hak_slab_lead(s) * UNIT_SIZE : 0)));
    hak_guard_dropped(s->place);
    s->place = 0;
    own_store(&s->touched, 0);
}

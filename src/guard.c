// guard.c: the count of guards, and a bit for each SuperSlab that ends with one.
//
//   |#0|#1| ... |#30|/31/|#0| ...        /31/: inaccessible while no huge block lies over it
//
//   count <= GUARDS_MAX + threads that add one right now
//
// Only who claimed a SuperSlab's last unit turns its bit, so the bits need no order of their own.
// Who reads one to choose units, and is late, fails to claim the last one or leaves it alone.
#include "guard.h"

#include <seam/os.h>

#define SUPERSLABS_MAX (ARENA_SIZE_MAX >> SUPERSLAB_SHIFT)

static struct {
    struct atomic_u32 count;
    struct atomic_u64 refused;
    struct atomic_u64 bytes; // guards around blocks, and blocks that are held back
} guards;
static struct atomic_u64 closed[(SUPERSLABS_MAX + 63) / 64];

void hak_guard_start(uint32_t superslabs)
{
    for (uint32_t i = 0; i < (superslabs + 63) / 64; i++)
        init_cell(&closed[i], 0);
    init_cell(&guards.count, 0);
    init_cell(&guards.refused, 0);
    init_cell(&guards.bytes, 0);
}

bool hak_guard_set(void *p, size_t bytes)
{
    if (load_relaxed(GUARD_COUNT, &guards.count) >= GUARDS_MAX || !os_protect_none(p, bytes)) {
        fetch_add_relaxed(GUARD_REFUSED, &guards.refused, 1);
        return false;
    }
    fetch_add_relaxed(GUARD_ADD, &guards.count, 1);
    return true;
}

void hak_guard_dropped(uint32_t count)
{
    fetch_add_relaxed(GUARD_DROP, &guards.count, -count);
}

bool hak_guard_is_closed(uint32_t superslab)
{
    return (load_relaxed(GUARD_IS_CLOSED, &closed[superslab / 64]) >> superslab % 64 & 1) != 0;
}

void hak_guard_note_refused(void)
{
    fetch_add_relaxed(GUARD_GIVEN_UP, &guards.refused, 1);
}

bool hak_guard_close_superslab(uint32_t superslab)
{
    if (hak_guard_is_closed(superslab))
        return true; // claimed and given back, and not opened meanwhile
    if (!hak_guard_set(hak_unit_base(superslab * SUPERSLAB_UNITS + GUARDED_UNIT), UNIT_SIZE))
        return false;
    fetch_or_relaxed(GUARD_CLOSE, &closed[superslab / 64], (uint64_t)1 << superslab % 64);
    return true;
}

bool hak_guard_open_superslabs(uint32_t unit, size_t units)
{
    uint32_t first = (unit + (SUPERSLAB_UNITS - 1 - GUARDED_UNIT)) / SUPERSLAB_UNITS;
    uint32_t end = (uint32_t)((unit + units) / SUPERSLAB_UNITS);
    uint32_t count = 0;
    for (uint32_t i = first; i < end; i++)
        count += hak_guard_is_closed(i);
    if (count == 0)
        return true;
    if (!os_commit(hak_unit_base(unit), units * UNIT_SIZE)) // one call for all
        return false;
    for (uint32_t i = first; i < end; i++)
        fetch_and_relaxed(GUARD_OPEN, &closed[i / 64], ~((uint64_t)1 << i % 64));
    hak_guard_dropped(count);
    return true;
}

void hak_inaccessible_add(int64_t bytes)
{
    fetch_add_relaxed(INACCESSIBLE_ADD, &guards.bytes, (uint64_t)bytes);
}

size_t hak_inaccessible_bytes(void)
{
    return (size_t)load_relaxed(INACCESSIBLE_READ, &guards.bytes);
}

uint32_t hak_guards(void)
{
    return load_relaxed(GUARDS_READ, &guards.count);
}

uint64_t hak_guards_refused(void)
{
    return load_relaxed(GUARD_REFUSED_READ, &guards.refused);
}

// types.c: a byte per unit, beside the arena (arena.c).
//
//   kinds:  |0x85| 5 | 5 |0x85| 5 | 5 | 0 | 0 |LARGE|LARGE| ...   two slabs of class 5, of 3 units
//
// A run fits where its class has a head, exactly as many units follow, and the next is another's.
#include "types.h"

static struct atomic_u32 hints[CLASS_COUNT + 1];
static struct atomic_u64 mixed;

// Bits of the units of the SuperSlab whose kind it is.
static uint32_t units_of_kind(uint32_t superslab, unsigned kind)
{
    const struct atomic_u8 *kinds = &hak_live.kinds[(size_t)superslab * SUPERSLAB_UNITS];
    uint32_t found = 0;
    for (unsigned i = 0; i < SUPERSLAB_UNITS; i++)
        found |= (uint32_t)(load_relaxed(KIND_READ, &kinds[i]) == kind) << i;
    return found;
}

uint32_t hak_types_same(uint32_t superslab, uint32_t available, unsigned units, unsigned kind)
{
    if (kind == KIND_LARGE)
        return 0;
    uint32_t starts = units_of_kind(superslab, kind | KIND_HEAD) & available;
    if (starts == 0)
        return 0;
    uint32_t inner = units_of_kind(superslab, kind);
    for (unsigned i = 1; i < units; i++)
        starts &= (inner & available) >> i;
    return units < SUPERSLAB_UNITS ? starts & ~(inner >> units) : starts;
}

uint32_t hak_types_allowed(uint32_t superslab, unsigned kind)
{
    uint32_t fresh = units_of_kind(superslab, KIND_FRESH);
    return kind == KIND_LARGE ? fresh | units_of_kind(superslab, KIND_LARGE) : fresh;
}

bool hak_types_allow_large(uint32_t unit, size_t units)
{
    for (size_t i = 0; i < units; i++) {
        unsigned kind = load_relaxed(KIND_OF_SPAN, &hak_live.kinds[unit + i]);
        if (kind != KIND_FRESH && kind != KIND_LARGE)
            return false;
    }
    return true;
}

void hak_types_set(uint32_t unit, size_t units, unsigned kind)
{
    uint64_t changed = 0;
    for (size_t i = 0; i < units; i++) {
        struct atomic_u8 *cell = &hak_live.kinds[unit + i];
        unsigned now = i == 0 && kind != KIND_LARGE ? kind | KIND_HEAD : kind;
        unsigned before = load_relaxed(KIND_BEFORE, cell);
        if (before == now)
            continue;
        changed += before != KIND_FRESH;
        store_relaxed(KIND_WRITE, cell, (uint8_t)now); // the mask orders it for the next claimer
    }
    if (unlikely(changed != 0))
        fetch_add_relaxed(KIND_MIXED, &mixed, changed);
}

void hak_types_released(unsigned class_index, uint32_t superslab)
{
    store_relaxed(KIND_HINT_WRITE, &hints[class_index], superslab);
}

uint32_t hak_types_hint(unsigned class_index)
{
    return load_relaxed(KIND_HINT_READ, &hints[class_index]);
}

uint64_t hak_types_mixed(void)
{
    return load_relaxed(KIND_MIXED_READ, &mixed);
}

// sizeclass.c: the table of size classes, computed from the parameters in config.h.
//
// Waste of a class above 64 bytes: at most 1/5 inside of the block (next size after k * 2^n is
// (k + 1) * 2^n, k >= 4), and at most 1/16 of the slab in its tail, so that together
// 1 - (4/5)(15/16) = 25 % is the bound. A slab takes the fewest units that keep the tail so short;
// classes up to half a unit also want SLAB_BLOCKS_WANTED blocks, so that a refill is worth its
// price. When no run of that length is left, a slab of `units_min` units serves as well.

#include "sizeclass.h"

struct class_table hak_class_table;

uint32_t hak_class_size(unsigned class_index)
{
    if (class_index <= 8)
        return class_index * 16;
    unsigned step = class_index - 9;
    unsigned doubling = 7 + step / CLASSES_PER_DOUBLING;
    return (5 + step % CLASSES_PER_DOUBLING) << (doubling - 2);
}

static uint32_t preferred_units(uint32_t block_bytes)
{
    uint32_t wanted = block_bytes <= UNIT_SIZE / 2 ? SLAB_BLOCKS_WANTED : 1;
    for (uint32_t units = 1; units < SUPERSLAB_UNITS; units++) {
        size_t slab_bytes = units * UNIT_SIZE;
        size_t tail = slab_bytes % block_bytes;
        if (slab_bytes / block_bytes >= wanted && tail <= slab_bytes >> SLAB_TAIL_SHIFT)
            return units;
    }
    return SUPERSLAB_UNITS;
}

static uint32_t largest_cache(uint32_t block_bytes, size_t cache_bytes)
{
    uint32_t blocks = block_bytes <= UNIT_SIZE / 2 ? MAGAZINE_BLOCKS_SURE : 1;
    while (2 * blocks + 1 <= MAGAZINE_BLOCKS_MAX &&
           (size_t)(2 * blocks + 1) * block_bytes <= cache_bytes)
        blocks = 2 * blocks + 1;
    return blocks;
}

void hak_classes_start(size_t cache_bytes)
{
    for (unsigned i = CLASS_FIRST; i <= CLASS_LAST; i++) {
        uint32_t bytes = hak_class_size(i);
        hak_classes[i] = (struct size_class){
            .block_bytes = bytes,
            .units = preferred_units(bytes),
            .units_min = (uint32_t)(round_up(bytes, UNIT_SIZE) >> UNIT_SHIFT),
            .cache_max = largest_cache(bytes, cache_bytes),
            .reciprocal = (((uint64_t)1 << 40) + bytes - 1) / bytes,
        };
    }
}

unsigned hak_class_aligned(size_t n, size_t align)
{
    if (n > CLASS_SIZE_MAX || align > UNIT_SIZE)
        return 0;
    for (unsigned i = hak_class_of(max_size(n, align)); i <= CLASS_LAST; i++)
        if (hak_classes[i].block_bytes % align == 0)
            return i;
    return 0;
}

bool hak_classes_ok(void)
{
    for (unsigned i = CLASS_FIRST; i <= CLASS_LAST; i++) {
        const struct size_class *c = &hak_classes[i];
        if (c->block_bytes % MALLOC_ALIGN != 0 || hak_class_of(c->block_bytes) != i)
            return false;
        if (i < CLASS_LAST && hak_class_of(c->block_bytes + 1) != i + 1)
            return false;
        if (c->units < c->units_min || c->units > SUPERSLAB_UNITS)
            return false;
        if (c->units * UNIT_SIZE / c->block_bytes > SLAB_BLOCKS_MAX)
            return false;
    }
    return hak_classes[CLASS_LAST].block_bytes == CLASS_SIZE_MAX;
}

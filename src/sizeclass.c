// sizeclass.c: the table of size classes, computed from the parameters in config.h.
//
// A slab takes the fewest units of which a quarter at most is wasted, whatever is asked for: inside
// of blocks (the next size after k * 2^n is (k + 1) * 2^n, k >= 4) and in its tail, whose pages are
// never touched. Short slabs are empty soon, and then serve other classes. Classes up to half a
// unit also want SLAB_BLOCKS_WANTED blocks, so that a refill is worth its price. Where address
// space is scarce a tail is at most 1/16. When no run of that length is left, a slab of `units_min`
// units serves as well.

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

// The fewest units that hold some blocks and of which no more is wasted than may be, even if all
// requests are the smallest of the class. `packed`: and hardly anything in the tail.
static uint32_t preferred_units(unsigned class_index, bool packed)
{
    uint32_t block_bytes = hak_class_size(class_index);
    uint32_t wanted = block_bytes <= UNIT_SIZE / 2 ? SLAB_BLOCKS_WANTED : 1;
    size_t smallest = max_size(hak_class_size(class_index - 1) + 1, WASTE_SIZE_MIN);
    for (uint32_t units = 1; units < SUPERSLAB_UNITS; units++) {
        size_t slab_bytes = units * UNIT_SIZE;
        size_t blocks = slab_bytes / block_bytes;
        size_t used = blocks * min_size(smallest, block_bytes);
        size_t tail = slab_bytes - blocks * block_bytes;
        if (blocks >= wanted && slab_bytes - used <= slab_bytes >> WASTE_SHIFT &&
            (!packed || tail <= slab_bytes >> SLAB_TAIL_SHIFT))
            return units;
    }
    return SUPERSLAB_UNITS;
}

// The largest 2^k - 1, and `least` at least, of which so many bytes of blocks are no more.
static uint32_t cache_blocks(uint32_t block_bytes, size_t cache_bytes, uint32_t least)
{
    uint32_t blocks = least;
    while (2 * blocks + 1 <= MAGAZINE_BLOCKS_MAX &&
           (size_t)(2 * blocks + 1) * block_bytes <= cache_bytes)
        blocks = 2 * blocks + 1;
    return blocks;
}

void hak_classes_start(size_t cache_bytes)
{
    for (unsigned i = CLASS_FIRST; i <= CLASS_LAST; i++) {
        uint32_t bytes = hak_class_size(i);
        bool small = bytes <= UNIT_SIZE / 2;
        uint32_t most = cache_blocks(bytes, cache_bytes, small ? MAGAZINE_BLOCKS_LEAST : 1);
        uint32_t sure = cache_blocks(bytes, MAGAZINE_BYTES_SURE, MAGAZINE_BLOCKS_START);
        hak_classes[i] = (struct size_class){
            .block_bytes = bytes,
            .units = preferred_units(i, false),
            .units_min = (uint32_t)(round_up(bytes, UNIT_SIZE) >> UNIT_SHIFT),
            .cache_sure = sure < most && small ? sure : most,
            .cache_max = most,
            .reciprocal = (((uint64_t)1 << 40) + bytes - 1) / bytes,
        };
    }
    hak_class_table.cache_total = CACHE_CLASSES * cache_bytes;
}

void hak_classes_pack(void)
{
    for (unsigned i = CLASS_FIRST; i <= CLASS_LAST; i++)
        hak_classes[i].units = preferred_units(i, true);
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

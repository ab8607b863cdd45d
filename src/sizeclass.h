// sizeclass.h: the map between request sizes and size classes.
//
// Classes are numbered from CLASS_FIRST: steps of 16 bytes to CLASS_LINEAR_MAX, then four per
// doubling to CLASS_SIZE_MAX. A class of k * 2^n bytes is 2^n-aligned (to at most UNIT_SIZE), since
// a slab begins at a unit and its blocks lie at multiples of their size.
#ifndef HAK_SIZECLASS_H
#define HAK_SIZECLASS_H

#include "config.h"

struct size_class {
    uint32_t block_bytes;
    uint32_t units;      // preferred length of a slab
    uint32_t units_min;  // shortest slab that holds one block
    uint32_t cache_sure; // what its magazine may always hold, blocks: 2^k - 1
    uint32_t cache_max;  // what it may hold at most, the same
    uint64_t reciprocal; // ceil(2^40 / block_bytes): see hak_class_index
};

// Read-only after hak_classes_start. Entry 0 is not a class.
struct ON_SEALED_PAGE class_table {
    struct size_class of[CLASS_COUNT + 1];
    size_t cache_total; // bytes that a heap's magazines may hold beyond cache_sure
};
extern struct class_table hak_class_table __attribute__((visibility("hidden")));
#define hak_classes (hak_class_table.of)

// Bytes of a block of the class, from the parameters: also before the table is filled.
uint32_t hak_class_size(unsigned class_index);

// Fills the table. `cache_bytes` bounds a magazine. Called once at start.
void hak_classes_start(size_t cache_bytes);

// Makes slabs as long as it takes to leave hardly any tail: where address space is scarce. Before
// there is any slab.
void hak_classes_pack(void);

// The class that serves n bytes, n <= CLASS_SIZE_MAX; n == 0 is served as 1.
static inline unsigned hak_class_of(size_t n)
{
    if (n <= CLASS_LINEAR_MAX)
        return n == 0 ? 1 : (unsigned)((n + 15) >> 4);
    unsigned doubling = highest_bit(n - 1); // 2^doubling < n <= 2^(doubling + 1)
    unsigned quarter = (unsigned)((n - 1) >> (doubling - 2)) - 4;
    return 9 + (doubling - 7) * CLASSES_PER_DOUBLING + quarter;
}

// Bytes of a block of the class.
static inline size_t hak_class_bytes(unsigned class_index)
{
    return hak_classes[class_index].block_bytes;
}

// floor(offset / block_bytes) without a division; offset < SUPERSLAB_SIZE. Exact: the reciprocal is
// too large by e < block_bytes / 2^40, and offset * e < 2^21 * 2^18 < 2^40.
static inline unsigned hak_class_index(const struct size_class *c, size_t offset)
{
    return (unsigned)((offset * c->reciprocal) >> 40);
}

// The smallest class whose blocks hold n bytes at multiples of `align` (a power of two), or 0 if
// none does: n or align is beyond the classes.
unsigned hak_class_aligned(size_t n, size_t align);

// The class for a request of n bytes, and its canary, at multiples of `align`, or 0.
static inline unsigned hak_class_request(size_t n, size_t align)
{
    return MITIGATE_CANARY && n > CLASS_REQUEST_MAX ? 0
                                                    : hak_class_aligned(n + CANARY_BYTES, align);
}

// Whether the table is consistent: sizes ascend, each size finds the smallest class that holds it.
bool hak_classes_ok(void);

#endif

// one_superslab.h: an arena of which one SuperSlab is begun and claimed, for tests of slabs alone.
#ifndef HAK_UNIT_ONE_SUPERSLAB_H
#define HAK_UNIT_ONE_SUPERSLAB_H

#include "sizeclass.h"
#include "superslab.h"

// As cmocka's setup of a group: 0, or -1 if the system refuses memory.
static inline int start_one_superslab(void **state)
{
    (void)state;
    hak_classes_start((size_t)128 << 10);
    if (!hak_arena_start(4 * SUPERSLAB_SIZE))
        return -1;
    hak_superslabs_start();
    uint32_t unit;
    return hak_superslab_begin(1, SUPERSLAB_UNITS, UINT32_MAX, &unit) ? 0 : -1;
}

#endif

// prewarm.h: fills the magazines of a heap before anybody asks for a block.
//
// The option `prewarm` names sizes and numbers of blocks. For each, the magazine of the class that
// serves the size gets room for so many blocks, and the blocks, at most what the option cache_kib
// lets it hold. Their pages are there: the first use takes no slow path and no page fault. The
// purge leaves them alone until the heap is flushed. Where the system refuses memory, fewer are
// ready, and nothing fails.
#ifndef HAK_PREWARM_H
#define HAK_PREWARM_H

#include "heap.h"

static inline bool hak_prewarm_is_wanted(void)
{
    return hak_options.prewarm[0].blocks != 0;
}

// False if the system refused memory. Owner of the heap only, inside of the fork gate; now_ms is
// set.
bool hak_prewarm(struct heap *h);

#endif

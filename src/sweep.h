// sweep.h: looks for writes to blocks that are free, before anyone is handed them.
//
// Owner of the heap only, inside of the fork gate. Hardened flavour only.
#ifndef HAK_SWEEP_H
#define HAK_SWEEP_H

#include "heap.h"

// Looks at up to about `bytes_max` of the heap's free blocks: those that wait in the quarantine,
// those in magazines, and those in its slabs, of which a later call looks at others. A byte that is
// not zero is a fault.
void hak_sweep(struct heap *h, size_t bytes_max);

#endif

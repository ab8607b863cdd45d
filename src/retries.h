// retries.h: how often each retry loop of a compare-and-swap had to try again.
//
// spin_hint (seam/atomics.h) counts, on the path that another thread has made longer already. A
// relaxed addition to a line of the loop's own; loops without contention do not come here.
#ifndef HAK_RETRIES_H
#define HAK_RETRIES_H

#include <seam/atomics.h>

// The name of the loop with this index, 0 to the last, and its count so far; NULL behind the last.
const char *hak_retries_name(unsigned index);
uint64_t hak_retries(unsigned index);

#endif

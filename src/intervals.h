// intervals.h: when a byte of what is allocated is sampled: a Poisson process, so that a block of n
// bytes is sampled with probability 1 - exp(-n / average), whatever came before it.
//
// No state of its own, no libm. Any thread.
#ifndef HAK_INTERVALS_H
#define HAK_INTERVALS_H

#include "base.h"

// Bytes until the next sampled one, the first not counted: exponential with that average, which is
// at least 1. `state` is any number at first; each caller has its own.
int64_t hak_interval_next(uint64_t *state, uint64_t average);

// How many blocks of n bytes a sampled one stands for: 1 / (1 - exp(-n / average)); n > 0.
double hak_interval_weight(size_t n, uint64_t average);

// Another generator's state, for each `index`.
uint64_t hak_interval_seed(uint64_t seed, uint64_t index);

#endif

// random.h: random numbers that someone who sees addresses cannot predict.
//
// A generator belongs to one heap and is used by its owner alone. Zeroed memory is a generator that
// has not been seeded: it seeds itself from the system when it is first used, after each fork, and
// every RANDOM_BLOCKS_MAX blocks. No random bytes from the system: a fault, the process aborts.
#ifndef HAK_RANDOM_H
#define HAK_RANDOM_H

#include "chacha.h"

enum { RANDOM_BLOCKS_MAX = 1 << 20 };

struct random_source {
    uint32_t key[CHACHA_KEY_WORDS];
    uint32_t words[CHACHA_BLOCK_WORDS - CHACHA_KEY_WORDS]; // of the last block, not yet used
    uint32_t left;                                         // how many of them
    uint32_t blocks;                                       // made since the last seed
    uint32_t generation;                                   // of the process when it was seeded
};

uint32_t hak_random_word(struct random_source *r);

// A number below n; n is not 0 and at most 2^16. Its bias is below 2^-16.
static inline uint32_t hak_random_below(struct random_source *r, uint32_t n)
{
    return (uint32_t)((uint64_t)hak_random_word(r) * n >> 32);
}

// In the child of a fork: every generator seeds itself anew before its next number.
void hak_random_after_fork(void);

#endif

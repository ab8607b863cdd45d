// random.h: random numbers that someone who sees addresses cannot predict.
//
// A generator belongs to one heap and is used by its owner alone. Zeroed memory is a generator that
// has not been seeded: it seeds itself from the system when it is first used, after each fork, and
// every RANDOM_FILLS_MAX fills. No random bytes from the system: a fault, the process aborts.
//
// The shared generator is used by any thread, for what belongs to no heap.
#ifndef HAK_RANDOM_H
#define HAK_RANDOM_H

#include <seam/atomics.h>

#include "chacha.h"

enum {
    RANDOM_ROUNDS = 8,
    RANDOM_FILL_BLOCKS = 4,
    RANDOM_FILL_WORDS = RANDOM_FILL_BLOCKS * CHACHA_BLOCK_WORDS,
    RANDOM_KEY_BYTES = CHACHA_KEY_WORDS * sizeof(uint32_t),
    RANDOM_FILLS_MAX = 1 << 18,
};

struct random_source {
    uint32_t words[RANDOM_FILL_WORDS]; // the first are the next key, the last are used first
    uint32_t left;                     // bytes of words[] that are not yet used, with the key
    uint32_t fills;                    // since the last seed
    uint32_t generation;               // of the process when it was seeded
};

extern struct atomic_u32 hak_random_forks __attribute__((visibility("hidden")));

// Fills words[] anew.
void hak_random_more(struct random_source *r);

static inline uint32_t hak_random_generation(void)
{
    return 1 + load_relaxed(RANDOM_GENERATION, &hak_random_forks);
}

// Whether a number of `count` bits, 1 to 32, can be had without new ones.
static inline bool hak_random_ready(const struct random_source *r, unsigned count)
{
    return r->left >= RANDOM_KEY_BYTES + (count + 7) / 8 &&
           r->generation == hak_random_generation();
}

// Such a number. Whole bytes are used, and gone.
ALWAYS_INLINE uint32_t hak_random_next(struct random_source *r, unsigned count)
{
    uint32_t bytes = (count + 7) / 8, number = 0;
    r->left -= bytes;
    char *at = (char *)r->words + r->left;
    __builtin_memcpy(&number, at, bytes);
    __builtin_memset(at, 0, bytes);
    return number & (uint32_t)(((uint64_t)1 << count) - 1);
}

// The same, whenever.
ALWAYS_INLINE uint32_t hak_random_bits(struct random_source *r, unsigned count)
{
    if (unlikely(!hak_random_ready(r, count)))
        hak_random_more(r);
    return hak_random_next(r, count);
}

// A number below n; n is not 0 and at most 2^8. Its bias is below 2^-8 of an even share, and 0
// where n is a power of two.
static inline uint32_t hak_random_below(struct random_source *r, uint32_t n)
{
    return hak_random_bits(r, 16) * n >> 16;
}

// At start, and again in the child of a fork, which has one thread: the shared generator's seed.
void hak_random_start(void);

// A word of the shared generator.
uint32_t hak_random_shared(void);

// In the child of a fork: every generator seeds itself anew before its next number.
void hak_random_after_fork(void);

#endif

// zero.h: whether memory reads as zero, and clearing it. For whole blocks of the hardened flavour:
// addresses are multiples of 16, sizes too and not 0, where nothing else is said.
//
// Short blocks are looked at without a call and, to 64 bytes, without a branch on their size: the
// sizes that a program mixes cannot be foreseen. No state but which vectors the processor has.
#ifndef HAK_ZERO_H
#define HAK_ZERO_H

#include "config.h"

typedef uint64_t pair __attribute__((vector_size(16)));
typedef uint64_t loose_pair __attribute__((vector_size(16), aligned(1)));
_Static_assert(sizeof(pair) == MALLOC_ALIGN, "blocks are whole pairs, and begin at one");

// Bytes up to which no call is made.
#define ZERO_SHORT_MAX ((size_t)256)

struct ON_SEALED_PAGE zero_width {
    bool wide; // the processor has vectors of 32 bytes
};
extern struct zero_width hak_zero_width __attribute__((visibility("hidden")));

// Once at start. Before it the narrow vectors are used.
void hak_zero_start(void);

// Of ZERO_SHORT_MAX bytes at least. What is looked at may begin and end anywhere.
bool hak_zero_is_long(const void *p, size_t bytes);
void hak_zero_set_long(void *p, size_t bytes);

// The four pairs of 16, 32, 48 or 64 bytes; of shorter ones some are the same.
#define PAIR_SECOND(bytes) ((bytes) >> 2 & 48)
#define PAIR_THIRD(bytes) ((bytes) >> 1 & 48)

static inline pair hak_pairs_or(const char *p, size_t second, size_t third, size_t last)
{
    const pair *a = (const pair *)p, *b = (const pair *)(p + second);
    const pair *c = (const pair *)(p + third), *d = (const pair *)(p + last);
    return (*a | *b) | (*c | *d);
}

static inline void hak_pairs_clear(char *p, size_t second, size_t third, size_t last)
{
    const pair zero = { 0, 0 };
    *(pair *)p = zero;
    *(pair *)(p + second) = zero;
    *(pair *)(p + third) = zero;
    *(pair *)(p + last) = zero;
}

// `bytes` <= ZERO_SHORT_MAX.
static inline bool hak_zero_is_short(const void *block, size_t bytes)
{
    const char *p = block;
    pair any;
    if (bytes <= 64) {
        any = hak_pairs_or(p, PAIR_SECOND(bytes), PAIR_THIRD(bytes), bytes - 16);
    } else {
        const char *last = p + bytes - 64; // overlaps what was looked at
        any = hak_pairs_or(last, 16, 32, 48);
        for (; p < last; p += 64)
            any |= hak_pairs_or(p, 16, 32, 48);
    }
    return (any[0] | any[1]) == 0;
}

// `bytes` <= ZERO_SHORT_MAX.
static inline void hak_zero_set_short(void *block, size_t bytes)
{
    char *p = block;
    if (bytes <= 64) {
        hak_pairs_clear(p, PAIR_SECOND(bytes), PAIR_THIRD(bytes), bytes - 16);
    } else {
        char *last = p + bytes - 64;
        hak_pairs_clear(last, 16, 32, 48);
        for (; p < last; p += 64)
            hak_pairs_clear(p, 16, 32, 48);
    }
}

#endif

// base.h: the vocabulary of every file: fixed-width types, branch hints, alignment arithmetic.
//
// No state and no policy. Every other header of src/ may include it; it includes none.
#ifndef HAK_BASE_H
#define HAK_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

// A function off the hit path: never inlined into it, placed apart from it.
#define COLD __attribute__((noinline, cold))
// A slow path that is reached by a tail call and must not grow the caller's frame.
#define NOINLINE __attribute__((noinline))
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define CACHE_LINE 64
#define ON_OWN_LINE __attribute__((aligned(CACHE_LINE)))

// The compiler computes p once, instead of once per field that is read through it.
#define COMPUTED_ONCE(p) __asm__("" : "+r"(p))

// Rounds `n` up to a multiple of `step`, a power of two. The caller excludes overflow.
static inline size_t round_up(size_t n, size_t step)
{
    return (n + step - 1) & ~(step - 1);
}

static inline size_t round_down(size_t n, size_t step)
{
    return n & ~(step - 1);
}

static inline bool is_power_of_two(size_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

static inline size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

// Index of the lowest / highest set bit. `x` is not 0.
static inline unsigned lowest_bit(uint64_t x)
{
    return (unsigned)__builtin_ctzll(x);
}

static inline unsigned highest_bit(uint64_t x)
{
    return 63u - (unsigned)__builtin_clzll(x);
}

#endif

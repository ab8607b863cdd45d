// zero.c: long blocks, with the widest vectors there are.
//
//   | 4 vectors | 4 vectors | ...
//                     | 4 vectors |   the last ones, first
//
// The same loops are compiled for two widths. The C library's memset clears more than some KiB with
// an instruction that some processors are slow to begin, and takes 1.2 to 1.8 times as long for
// blocks that lie in the caches. `wide` is set once, before any other thread exists, and sealed
// with what is immutable.
#include "zero.h"

#include <seam/processor.h>

struct zero_width hak_zero_width;

typedef uint64_t loose_quad __attribute__((vector_size(32), aligned(1)));

// Four vectors at a time; the last four overlap what was looked at before.
#define IS_ZERO(vector)                                \
    const char *last = p + bytes - 4 * sizeof(vector); \
    const vector *at = (const vector *)last;           \
    vector any = at[0] | at[1], other = at[2] | at[3]; \
    for (; p < last; p += 4 * sizeof(vector)) {        \
        at = (const vector *)p;                        \
        any |= at[0];                                  \
        other |= at[1];                                \
        any |= at[2];                                  \
        other |= at[3];                                \
    }                                                  \
    any |= other;

static bool is_zero_narrow(const char *p, size_t bytes)
{
    IS_ZERO(loose_pair)
    return (any[0] | any[1]) == 0;
}

WIDE_VECTORS static bool is_zero_wide(const char *p, size_t bytes)
{
    IS_ZERO(loose_quad)
    return ((any[0] | any[1]) | (any[2] | any[3])) == 0;
}

void hak_zero_start(void)
{
    bool wide = vectors_are_wide();
    if (hak_zero_width.wide != wide) // it may be sealed
        hak_zero_width.wide = wide;
}

// The same.
#define SET_ZERO(vector)                         \
    char *last = p + bytes - 4 * sizeof(vector); \
    vector *at = (vector *)last;                 \
    const vector zero = { 0 };                   \
    at[0] = at[1] = at[2] = at[3] = zero;        \
    for (; p < last; p += 4 * sizeof(vector)) {  \
        at = (vector *)p;                        \
        at[0] = at[1] = at[2] = at[3] = zero;    \
    }

static void set_zero_narrow(char *p, size_t bytes)
{
    SET_ZERO(pair);
}

WIDE_VECTORS static void set_zero_wide(char *p, size_t bytes)
{
    SET_ZERO(loose_quad);
}

bool hak_zero_is_long(const void *p, size_t bytes)
{
    return hak_zero_width.wide ? is_zero_wide(p, bytes) : is_zero_narrow(p, bytes);
}

void hak_zero_set_long(void *p, size_t bytes)
{
    if (hak_zero_width.wide)
        set_zero_wide(p, bytes);
    else
        set_zero_narrow(p, bytes);
}

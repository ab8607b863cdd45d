// zero.c: long blocks, with the widest vectors there are.
//
//   | 4 vectors | 4 vectors | ...
//                     | 4 vectors |   the last ones, first
//
// The same loop is compiled for two widths. `wide` is set once, before any other thread exists, and
// sealed with what is immutable.
#include "zero.h"

#include <seam/processor.h>

struct zero_width hak_zero_width;

typedef uint64_t quad __attribute__((vector_size(32), aligned(16)));

// Four vectors at a time; the last four overlap what was looked at before.
#define IS_ZERO(vector)                                \
    const char *last = p + bytes - 4 * sizeof(vector); \
    const vector *at = (const vector *)last;           \
    vector any = (at[0] | at[1]) | (at[2] | at[3]);    \
    for (; p < last; p += 4 * sizeof(vector)) {        \
        at = (const vector *)p;                        \
        any |= (at[0] | at[1]) | (at[2] | at[3]);      \
    }

static bool is_zero_narrow(const char *p, size_t bytes)
{
    IS_ZERO(pair)
    return (any[0] | any[1]) == 0;
}

WIDE_VECTORS static bool is_zero_wide(const char *p, size_t bytes)
{
    IS_ZERO(quad)
    return ((any[0] | any[1]) | (any[2] | any[3])) == 0;
}

void hak_zero_start(void)
{
    bool wide = vectors_are_wide();
    if (hak_zero_width.wide != wide) // it may be sealed
        hak_zero_width.wide = wide;
}

bool hak_zero_is_long(const void *p, size_t bytes)
{
    return hak_zero_width.wide ? is_zero_wide(p, bytes) : is_zero_narrow(p, bytes);
}

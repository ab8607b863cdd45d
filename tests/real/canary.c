// canary.c: an allocator that is wrong on purpose: tests/real/run must see it.
//
// It takes memory from a region and never reuses it; realloc changes the first byte of what is
// larger than 4 KiB. Programs run, and give wrong results.
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC visibility push(default)

static _Alignas(64) unsigned char region[1u << 28];
static atomic_size_t used;

void *malloc(size_t size)
{
    size_t whole = (size + 16 + 15) & ~(size_t)15;
    size_t at = atomic_fetch_add(&used, whole);
    if (at + whole > sizeof region)
        abort();
    memcpy(region + at, &size, sizeof size);
    return region + at + 16;
}

void free(void *block)
{
    (void)block;
}

void *calloc(size_t count, size_t size)
{
    return malloc(count * size); // the region is zero
}

void *realloc(void *block, size_t size)
{
    unsigned char *moved = malloc(size);
    size_t old = 0;
    if (block != NULL) {
        memcpy(&old, (unsigned char *)block - 16, sizeof old);
        memcpy(moved, block, old < size ? old : size);
    }
    if (old > 4096)
        moved[0]++;
    return moved;
}

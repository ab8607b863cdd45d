// fuzz_canary.c: fuzz_api over an allocator with a planted bug. It must be found, or the pipeline
// (engine, mutator, oracle, report) is broken and finds nothing elsewhere either.
//
// The bug: a realloc that makes a block of more than 100 bytes at least twice as long loses the
// byte at offset 100. A search needs an allocation and a resize of the same slot that fits it; no
// seed of this target has a resize.
#include "single.h"
#include "target.h"

const char target_name[] = "fuzz_canary";

#define LOST_OFFSET 100u

static struct allocator planted;

static void *losing_realloc(void *p, size_t n)
{
    size_t before = p ? hak_malloc_usable_size(p) : 0;
    unsigned char *q = hak_realloc(p, n);
    if (q && before > LOST_OFFSET && n / 2 >= before)
        q[LOST_OFFSET] ^= 0x55;
    return q;
}

__attribute__((constructor)) static void plant(void)
{
    planted = allocator_hakmem;
    planted.realloc = losing_realloc;
}

const struct single_target single_target = {
    .limits = { .ops_max = 256,
                .slots = 256,
                .threads = 1,
                .size_max = 1u << 20,
                .fail_min = (uint64_t)1 << 47 },
    .allocator = &planted,
    .live_bytes_max = 8u << 20,
};

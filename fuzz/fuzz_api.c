// fuzz_api.c: the whole public surface in one thread.
//
// Bounds keep an input short: so many operations, bytes per block and bytes in all; the small
// geometry's arena makes exhaustion real.
#include "single.h"
#include "target.h"

const char target_name[] = "fuzz_api";

const struct single_target single_target = {
    .limits = { .ops_max = 1024,
                .slots = 256,
                .threads = 1,
                .size_max = GEOMETRY_SMALL ? 1u << 20 : 8u << 20,
                .fail_min = (uint64_t)1 << 47 },
    .allocator = &allocator_hakmem,
    .live_bytes_max = GEOMETRY_SMALL ? 8u << 20 : 32u << 20,
    .children = 2,
};

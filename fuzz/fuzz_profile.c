// fuzz_profile.c: fuzz_sched's operations while a heap profile is on: each request is counted, some
// blocks are samples and lie in slabs of their own.
#include "scheduled.h"
#include "target.h"

const char target_name[] = "fuzz_profile";

const struct scheduled_target scheduled_target = {
    .limits = { .ops_max = 128,
                .slots = 48,
                .threads = 4,
                .size_max = GEOMETRY_SMALL ? 72u << 10 : 3u << 20,
                .fail_min = (uint64_t)1 << 47 },
    .steps_max = 20000,
    .space_bytes = GEOMETRY_SMALL ? (size_t)16 << 20 : (size_t)256 << 20,
    .live_bytes_max = GEOMETRY_SMALL ? 1u << 20 : 16u << 20,
    .options = "profile=1000,profile_seed=1", // few of the small blocks, most of others
};

// fuzz_profile.c: fuzz_sched's operations while a heap profile is on: each request is counted, some
// blocks are samples and lie in slabs of their own.
#include "scheduled.h"
#include "target.h"

const char target_name[] = "fuzz_profile";

const struct scheduled_target scheduled_target = {
    SCHEDULED_USUAL,
    .options = "profile=1000,profile_seed=1", // few of the small blocks, most of others
};

// fuzz_sched.c: two to four logical threads over the whole interface, every interleaving a file.
//
// Operations: allocation of every kind, frees by any thread, realloc across threads, exit and start
// of threads, trim, flush, clock ticks, failures of the system, barriers (with the audit), a thread
// that stops for ever. Small geometry makes slabs empty, magazines full and memory short within a
// few operations.
#include "scheduled.h"
#include "target.h"

const char target_name[] = "fuzz_sched";

const struct scheduled_target scheduled_target = {
    .limits = { .ops_max = 128,
                .slots = 48,
                .threads = 4,
                .size_max = GEOMETRY_SMALL ? 72u << 10 : 3u << 20,
                .fail_min = (uint64_t)1 << 47 },
    .steps_max = 20000,
    .space_bytes = GEOMETRY_SMALL ? (size_t)16 << 20 : (size_t)256 << 20,
    .live_bytes_max = GEOMETRY_SMALL ? 1u << 20 : 16u << 20,
};

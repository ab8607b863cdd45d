// fuzz_sched.c: two to four logical threads over the whole interface, every interleaving a file.
//
// Operations: allocation of every kind, frees by any thread, realloc across threads, exit and start
// of threads, trim, flush, clock ticks, failures of the system, barriers (with the audit), a thread
// that stops for ever. Small geometry makes slabs empty, magazines full and memory short within a
// few operations.
#include "scheduled.h"
#include "target.h"

const char target_name[] = "fuzz_sched";

static const struct scheduled_target target = {
    .limits = { .ops_max = 128,
                .slots = 48,
                .threads = 4,
                .size_max = GEOMETRY_SMALL ? 72u << 10 : 3u << 20,
                .fail_min = (uint64_t)1 << 47 },
    .steps_max = 20000,
    .space_bytes = GEOMETRY_SMALL ? (size_t)16 << 20 : (size_t)256 << 20,
    .live_bytes_max = GEOMETRY_SMALL ? 1u << 20 : 16u << 20,
};

bool target_print(const uint8_t *data, size_t size, FILE *out)
{
    return scheduled_print(&target, data, size, out);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return scheduled_start(&target);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return scheduled_run(&target, data, size);
}

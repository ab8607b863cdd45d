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
    SCHEDULED_USUAL,
};

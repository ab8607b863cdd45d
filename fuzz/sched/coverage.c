// coverage.c: which store each load read, as counters beside those of the compiler: libFuzzer's
// extra counters, or edges of AFL++, which hands out their numbers.
//
// This file is never instrumented itself: AFL++ would rename its variables in it.
#include "coverage.h"

#include <stddef.h>
#include <stdint.h>

#include "scheduler.h"

enum { PAIRS = 4096 };

__attribute__((section("__libfuzzer_extra_counters"))) static uint8_t pairs[PAIRS];
static uint32_t edges[PAIRS]; // numbers from AFL++, or 0

extern uint8_t *__afl_area_ptr __attribute__((weak));
void __sanitizer_cov_trace_pc_guard_init(uint32_t *, uint32_t *) __attribute__((weak));

__attribute__((constructor)) static void ask_for_edges(void)
{
    if (&__afl_area_ptr != NULL && __sanitizer_cov_trace_pc_guard_init != NULL)
        __sanitizer_cov_trace_pc_guard_init(edges, edges + PAIRS);
}

static void count_pair(uint32_t load_site, uint32_t store_site)
{
    uint32_t i = (load_site * 131 + store_site) % PAIRS;
    pairs[i] += pairs[i] != UINT8_MAX;
    if (edges[i] != 0)
        __afl_area_ptr[edges[i]]++;
}

void coverage_of_reads(void)
{
    sched_reads_from = count_pair;
}

// species.c: a mapped file with a small count per feature.
//
// The counters of an execution lie in two sections, between symbols of the linker: __sancov_cntrs
// (clang's inline counters; absent in builds without them) and __libfuzzer_extra_counters (the
// scheduler's reads-from pairs). Both are read, never written, but in a program without an engine,
// which says so by calling species_begin.
//
// Invariants: seen = features with a count above 0; singles = those with 1; doubles = those with 2.
// A process that dies in mid-execution loses that execution, nothing else. Two processes that count
// at the same time may lose a count: the sums are of an estimate.
//
// This file is compiled without the target's instrumentation: its own branches are no features.
#include "species.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

extern uint8_t __start___sancov_cntrs[] __attribute__((weak, visibility("hidden")));
extern uint8_t __stop___sancov_cntrs[] __attribute__((weak, visibility("hidden")));
extern uint8_t __start___libfuzzer_extra_counters[] __attribute__((weak, visibility("hidden")));
extern uint8_t __stop___libfuzzer_extra_counters[] __attribute__((weak, visibility("hidden")));

static struct species *sample;

const struct species *species_sample(void)
{
    return sample;
}

void species_open(void)
{
    const char *path = getenv("HAK_SPECIES");
    if (path == NULL || sample != NULL)
        return;
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    void *p = MAP_FAILED;
    // Written, not only extended: on a full disk the mapping would end in a signal.
    if (file >= 0 && posix_fallocate(file, 0, sizeof *sample) == 0)
        p = mmap(NULL, sizeof *sample, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (p == MAP_FAILED) {
        perror(path);
        exit(2);
    }
    close(file);
    sample = p;
    if (sample->magic != 0 && sample->magic != SPECIES_MAGIC) {
        fprintf(stderr, "%s: is no sample of species\n", path);
        exit(2);
    }
    sample->magic = SPECIES_MAGIC;
}

static unsigned bucket(uint8_t count)
{
    unsigned n = 0;
    while (count > 1 && n < SPECIES_BUCKETS - 1) {
        count >>= 1;
        n++;
    }
    return n;
}

static int count_feature(uint8_t *count)
{
    switch (*count) {
    case 0:
        sample->seen++;
        sample->singles++;
        sample->last_new = sample->executions;
        sample->last_new_at = (uint64_t)time(NULL);
        *count = 1;
        return 1;
    case 1:
        sample->singles--;
        sample->doubles++;
        *count = 2;
        return 0;
    case 2:
        sample->doubles--;
        *count = 3;
        return 0;
    default:
        return 0;
    }
}

// Counts those of counters[0..n) that are not 0; `places` grows by those seen the first time.
static int count_all(const uint8_t *counters, size_t n, uint8_t *counts, uint64_t *places)
{
    int is_new = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t eight;
        // Most are 0: eight at a time.
        if (i % 8 == 0 && i + 8 <= n && (memcpy(&eight, counters + i, 8), eight == 0)) {
            i += 7;
            continue;
        }
        if (counters[i] == 0)
            continue;
        uint8_t *of = counts + i * SPECIES_BUCKETS;
        uint64_t before;
        memcpy(&before, of, 8);
        *places += before == 0;
        is_new |= count_feature(&of[bucket(counters[i])]);
    }
    return is_new;
}

static size_t length(const uint8_t *start, const uint8_t *stop, size_t max)
{
    size_t n = start != NULL ? (size_t)(stop - start) : 0;
    return n < max ? n : max;
}

static size_t edges(void)
{
    return length(__start___sancov_cntrs, __stop___sancov_cntrs, SPECIES_EDGES_MAX);
}

static size_t pairs(void)
{
    return length(__start___libfuzzer_extra_counters, __stop___libfuzzer_extra_counters,
                  SPECIES_PAIRS_MAX);
}

void species_begin(void)
{
    if (pairs() != 0)
        memset(__start___libfuzzer_extra_counters, 0, pairs());
    if (edges() != 0)
        memset(__start___sancov_cntrs, 0, edges());
}

static uint64_t hash(const uint8_t *data, size_t size)
{
    uint64_t h = size + 1, eight;
    for (; size >= 8; size -= 8, data += 8) {
        memcpy(&eight, data, 8);
        h = (h ^ eight) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 29;
    }
    for (; size > 0; size--)
        h = (h ^ *data++) * UINT64_C(0x100000001b3);
    return h ^ h >> 32;
}

// The place of an input's hash, or of the hole where it would be; NULL if it is not there and the
// table is three quarters full.
static uint64_t *place_of(uint64_t h)
{
    size_t i = h % SPECIES_INPUTS;
    while (sample->inputs[i] != 0 && sample->inputs[i] != h)
        i = (i + 1) % SPECIES_INPUTS;
    bool full = sample->kept >= SPECIES_INPUTS / 4 * 3;
    return sample->inputs[i] == h || !full ? &sample->inputs[i] : NULL;
}

int species_end(const uint8_t *data, size_t size)
{
    if (sample == NULL)
        return 0;
    uint64_t h = hash(data, size) | 1;
    uint64_t *place = place_of(h);
    if (place != NULL && *place == h)
        return 0;
    sample->executions++;
    uint8_t *of_pairs = sample->counts + (size_t)SPECIES_EDGES_MAX * SPECIES_BUCKETS;
    int is_new = 0;
    if (edges() != 0)
        is_new |= count_all(__start___sancov_cntrs, edges(), sample->counts, &sample->edges);
    if (pairs() != 0)
        is_new |= count_all(__start___libfuzzer_extra_counters, pairs(), of_pairs, &sample->pairs);
    if (is_new && place != NULL) {
        *place = h;
        sample->kept++;
    }
    return is_new;
}

// species.h: in how many executions each feature was seen: what a campaign's report estimates from.
//
// HAK_SPECIES=FILE makes a target count; all processes that are given the same file add to it, so
// the jobs of a fuzzer that forks, and slices that follow each other, make one sample. A feature is
// a counter of the compiler's coverage or a reads-from pair, with the power of two of its count.
#ifndef FUZZ_SPECIES_H
#define FUZZ_SPECIES_H

#include <stddef.h>
#include <stdint.h>

#define SPECIES_MAGIC UINT64_C(0x31736569636570) // "pecies1"
#define SPECIES_EDGES_MAX 65536u
#define SPECIES_PAIRS_MAX 4096u
#define SPECIES_BUCKETS 8u
#define SPECIES_INPUTS 65536u // a power of two

// What the file holds; little-endian. singles and doubles: features seen in exactly one execution,
// in exactly two. The chance that the next execution shows a new feature is about singles over
// executions (I. J. Good, 1953; for features per execution: A. Chao, R. K. Colwell, 2017).
struct species {
    uint64_t magic;
    uint64_t executions;
    uint64_t seen;
    uint64_t singles;
    uint64_t doubles;
    uint64_t pairs;       // reads-from pairs seen
    uint64_t edges;       // counters of the compiler that were ever not 0
    uint64_t last_new;    // the execution that brought the last new feature
    uint64_t last_new_at; // its time, seconds since 1970
    uint64_t kept;        // hashes in `inputs`
    uint64_t reserved[6];
    uint64_t inputs[SPECIES_INPUTS]; // hashes of those that showed a new feature
    uint8_t counts[(SPECIES_EDGES_MAX + SPECIES_PAIRS_MAX) * SPECIES_BUCKETS]; // up to 3
};

// Maps the file of HAK_SPECIES, if there is one; ends the program if that fails. Once.
void species_open(void);

// Before an execution: forgets the counters of the one before where no engine does. After it:
// counts; returns whether a feature was seen for the first time. Fuzzers run the inputs that they
// keep again and again: these are one draw of the sample, and counted once.
void species_begin(void);
int species_end(const uint8_t *data, size_t size);

// The sample, or NULL without HAK_SPECIES.
const struct species *species_sample(void);

#endif

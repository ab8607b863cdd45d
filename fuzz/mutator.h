// mutator.h: changes to inputs that know the operation language, for libFuzzer and AFL++ alike.
//
// Input and output are files of records (ops.h). What does not decode is replaced by a program of
// its own making, so the result is always a valid file. Deterministic in the seed.
#ifndef FUZZ_MUTATOR_H
#define FUZZ_MUTATOR_H

#include <stddef.h>
#include <stdint.h>

// Changes `size` bytes in place; returns the new size, at most `capacity` (at least one record's
// file: OPS_HEADER_BYTES + OPS_RECORD_BYTES).
size_t mutator_mutate(uint8_t *data, size_t size, size_t capacity, uint32_t seed);
// Writes a mixture of two inputs to `out`; returns its size.
size_t mutator_cross(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size, uint8_t *out,
                     size_t capacity, uint32_t seed);

#endif

// mutator_libfuzzer.c: the mutator as libFuzzer calls it. One change in eight is libFuzzer's own.
#include "mutator.h"

#include "ops.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t capacity);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t capacity, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
                                 uint8_t *out, size_t capacity, unsigned seed);

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t capacity, unsigned seed)
{
    if (seed % 8 == 0 || capacity < OPS_HEADER_BYTES + OPS_RECORD_BYTES)
        return LLVMFuzzerMutate(data, size, capacity);
    return mutator_mutate(data, size, capacity, seed);
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
                                 uint8_t *out, size_t capacity, unsigned seed)
{
    if (capacity < OPS_HEADER_BYTES + OPS_RECORD_BYTES)
        return 0;
    return mutator_cross(a, a_size, b, b_size, out, capacity, seed);
}

// mutator_afl.c: the mutator as AFL++ calls it (AFL_CUSTOM_MUTATOR_LIBRARY), beside its havoc.
#include "mutator.h"

#include "ops.h"

#include <stdlib.h>
#include <string.h>

struct afl;
struct mutator_afl {
    uint64_t draws;
    uint32_t seed;
    uint8_t *out;
    size_t capacity;
};

void *afl_custom_init(struct afl *afl, unsigned seed);
size_t afl_custom_fuzz(void *context, uint8_t *data, size_t size, uint8_t **out, uint8_t *other,
                       size_t other_size, size_t size_max);
void afl_custom_deinit(void *context);

__attribute__((visibility("default"))) void *afl_custom_init(struct afl *afl, unsigned seed)
{
    (void)afl;
    struct mutator_afl *m = calloc(1, sizeof *m);
    if (m)
        m->seed = seed;
    return m;
}

// Returns 0 (AFL++ then skips this mutation) if memory is out.
__attribute__((visibility("default"))) size_t afl_custom_fuzz(void *context, uint8_t *data,
                                                              size_t size, uint8_t **out,
                                                              uint8_t *other, size_t other_size,
                                                              size_t size_max)
{
    struct mutator_afl *m = context;
    uint32_t seed = m->seed + (uint32_t)(m->draws++ * 2654435761u);
    if (m->capacity < size_max) {
        uint8_t *moved = realloc(m->out, size_max);
        if (!moved)
            return 0;
        m->out = moved;
        m->capacity = size_max;
    }
    *out = m->out;
    if (size_max < OPS_HEADER_BYTES + OPS_RECORD_BYTES || size > size_max)
        return 0;
    if (other && other_size && seed % 4 == 0)
        return mutator_cross(data, size, other, other_size, m->out, size_max, seed);
    memcpy(m->out, data, size);
    return mutator_mutate(m->out, size, size_max, seed);
}

__attribute__((visibility("default"))) void afl_custom_deinit(void *context)
{
    struct mutator_afl *m = context;
    free(m->out);
    free(m);
}

// harden.c: what harden.h does off the hit paths: faults, start, and what becomes read-only.
//
// The state is cleared first: exactly one of several frees of a block goes on, and has the block
// for itself. All of this happens before the block is cached, queued or seen by its slab's owner.
#include "harden.h"

#include <seam/os.h>

#include "empty.h"
#include "options.h"
#include "random.h"
#include "sampled.h"

void hak_harden_start(void)
{
    hak_zero_start();
    if (USES_RANDOM)
        hak_random_start();
    if (MITIGATE_CANARY)
        hak_canary_start();
}

static void seal(void *p, size_t bytes)
{
    (void)os_protect_read(p, bytes); // a failure is counted; then it stays writable
}

void hak_harden_seal(void)
{
    if (!MITIGATE_SEAL || os_page_size() > SEAL_BYTES)
        return;
    seal(&hak_options, sizeof hak_options);
    seal(&hak_class_table, sizeof hak_class_table);
    seal(&hak_empty, sizeof hak_empty);
    seal(&hak_sampled, sizeof hak_sampled);
    seal(&hak_arena, sizeof hak_arena);
    seal(&hak_live, sizeof hak_live);
    seal(&hak_canary_secret, sizeof hak_canary_secret);
    seal(&hak_zero_width, sizeof hak_zero_width);
}

bool hak_harden_is_start(const void *p)
{
    const struct slab *s = hak_slab_of_unit(hak_unit_of(p));
    uint32_t index = hak_slab_index(s, p);
    return index != UINT32_MAX && index < own_load(&s->handed);
}

// Reads records only, which stay readable.
void hak_harden_fault_free(const void *p, unsigned class_index, enum live_state was)
{
    const struct slab *s = hak_slab_of_unit(hak_unit_of(p));
    uint32_t index = hak_slab_index(s, p);
    enum fault what = FAULT_DOUBLE_FREE;
    if (index == UINT32_MAX)
        what = FAULT_INTERIOR_FREE;
    else if (was == LIVE_NEVER || index >= own_load(&s->handed))
        what = FAULT_NEVER_ALLOCATED;
    hak_fault(what, p, class_index);
}

void hak_harden_fault_written(const void *p, unsigned class_index)
{
    const uint64_t *words = p;
    size_t i = 0;
    while (words[i] == 0 && i < hak_class_bytes(class_index) / sizeof *words - 1)
        i++;
    hak_fault_bytes(FAULT_WRITE_AFTER_FREE, p, class_index, i * sizeof *words, 0, words[i]);
}

void hak_harden_resize(void *p, unsigned class_index, size_t n)
{
    if (!MITIGATE_CANARY)
        return;
    size_t bytes = hak_class_bytes(class_index);
    size_t before = hak_canary_read(p, class_index, bytes);
    if (!hak_canary_slack_long_ok(p, bytes, before))
        hak_canary_fault(p, class_index, bytes);
    n = max_size(n, 1);
    if (n < before)
        __builtin_memset((char *)p + n, 0, before - n);
    hak_canary_write(p, bytes, n);
}

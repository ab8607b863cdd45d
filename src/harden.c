// harden.c: checks of a block on its way to and from the user.
//
//   block:  | user's bytes: block_bytes - CANARY_BYTES | canary |
//   live bit (arena.h): 1 from take to give, wherever else the block is meanwhile
//
//   not handed out  =>  every byte of the block is 0 (FREE_IS_ZERO)
//   handed out      =>  the canary is secret ^ address, its first byte 0 (MITIGATE_CANARY)
//
// The live bit is cleared first: exactly one of several frees of a block goes on, and has the block
// for itself. All of this happens before the block is cached, queued or seen by its slab's owner.
#include "harden.h"

#include <seam/os.h>
#include <seam/sanitizer.h>

#include "empty.h"
#include "options.h"
#include "random.h"
#include "sampled.h"

static struct ON_SEALED_PAGE {
    uint64_t value;
} secret;

void hak_harden_start(void)
{
    if (USES_RANDOM)
        hak_random_start();
    if (MITIGATE_CANARY && !hak_os_entropy(&secret.value, sizeof secret.value))
        hak_fault(FAULT_NO_ENTROPY, &secret, TAG_NONE);
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
    seal(&secret, sizeof secret);
}

static uint64_t *canary_of(void *p, unsigned class_index)
{
    return (uint64_t *)((char *)p + hak_class_bytes(class_index) - sizeof(uint64_t));
}

// Its first byte is 0, so that a string which ends before it cannot be read through it.
static uint64_t canary_for(const uint64_t *place)
{
    return (secret.value ^ (uintptr_t)place * 0x9e3779b97f4a7c15) & ~(uint64_t)0xff;
}

void hak_canary_write(uint64_t *place)
{
    *place = canary_for(place);
}

void hak_canary_check(const uint64_t *place, const void *p, unsigned tag)
{
    if (unlikely(*place != canary_for(place)))
        hak_fault_bytes(FAULT_OVERFLOW, p, tag, (size_t)((const char *)place - (const char *)p),
                        canary_for(place), *place);
}

// What is wrong with p, which is not handed out? Reads records only, which stay readable.
_Noreturn COLD static void fault_not_live(const void *p, unsigned class_index)
{
    const struct slab *s = hak_slab_of_unit(hak_unit_of(p));
    uint32_t index = hak_slab_index(s, p);
    enum fault what = FAULT_DOUBLE_FREE;
    if (index == UINT32_MAX)
        what = FAULT_INTERIOR_FREE;
    else if (!MITIGATE_RANDOM && index >= own_load(&s->handed)) // in random order nobody knows
        what = FAULT_NEVER_ALLOCATED;
    hak_fault(what, p, class_index);
}

#define NEEDS_START (!MITIGATE_STATE && (MITIGATE_POINTERS || MITIGATE_CANARY || FREE_IS_ZERO))

// Whether p is the start of a block that was handed out once, by its slab's record.
static bool is_start(const void *p)
{
    const struct slab *s = hak_slab_of_unit(hak_unit_of(p));
    uint32_t index = hak_slab_index(s, p);
    return index != UINT32_MAX && (MITIGATE_RANDOM || index < own_load(&s->handed));
}

typedef uint64_t pair __attribute__((vector_size(16)));
_Static_assert(sizeof(pair) == MALLOC_ALIGN, "blocks are whole pairs, and begin at one");

COLD static void fault_written(const void *p, unsigned class_index)
{
    const uint64_t *words = p;
    for (size_t i = 0; i < hak_class_bytes(class_index) / sizeof *words; i++)
        if (words[i] != 0)
            hak_fault_bytes(FAULT_WRITE_AFTER_FREE, p, class_index, i * sizeof *words, 0, words[i]);
}

static inline void check_zero(const void *p, unsigned class_index)
{
    const pair *at = p;
    const pair *end = at + hak_class_bytes(class_index) / sizeof *at;
    pair any = { 0, 0 };
    for (; end - at >= 4; at += 4)
        any |= (at[0] | at[1]) | (at[2] | at[3]);
    for (; at != end; at++)
        any |= at[0];
    if (unlikely((any[0] | any[1]) != 0))
        fault_written(p, class_index);
}

void hak_harden_check_zero(const void *p, unsigned class_index)
{
    check_zero(p, class_index);
}

void hak_harden_take(void *p, unsigned class_index, bool fresh)
{
    sanitize_open(p, hak_class_bytes(class_index));
    if (MITIGATE_STATE && unlikely(hak_live_set(p)))
        hak_fault(FAULT_CORRUPT_RECORD, p, class_index);
    if (MITIGATE_ZERO && !fresh)
        check_zero(p, class_index);
    if (MITIGATE_CANARY)
        hak_canary_write(canary_of(p, class_index));
}

void hak_harden_give(void *p, unsigned class_index)
{
    size_t bytes = hak_class_bytes(class_index);
    // What is written to, or looked at where a block would end, must be a block. The live byte of
    // what is none is never set.
    if (NEEDS_START && unlikely(!is_start(p)))
        fault_not_live(p, class_index);
    if (MITIGATE_STATE && unlikely((uintptr_t)p % MALLOC_ALIGN != 0 || !hak_live_clear(p)))
        fault_not_live(p, class_index);
    sanitize_open(p, bytes);
    if (MITIGATE_CANARY)
        hak_canary_check(canary_of(p, class_index), p, class_index);
    if (FREE_IS_ZERO)
        __builtin_memset(p, 0, bytes);
}

void hak_harden_check(const void *p, unsigned class_index, enum fault otherwise)
{
    if ((NEEDS_START && !is_start(p)) ||
        (MITIGATE_STATE && ((uintptr_t)p % MALLOC_ALIGN != 0 || !hak_live_is_set(p))))
        hak_fault(otherwise, p, class_index);
}

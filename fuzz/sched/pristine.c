// pristine.c: the allocator's .data and .bss lie in the section hak_state of the linked program,
// from __start_hak_state to __stop_hak_state.
//
// Nearly all of it are tables that are zero before the first call, and stay so but for their first
// entries: a chunk that was zero is looked at, which takes a third of the time of a copy, and is
// written only if it must be.
#include "pristine.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

extern char __start_hak_state[], __stop_hak_state[];

#define CHUNK_WORDS 512u
typedef uint64_t pair __attribute__((vector_size(2 * sizeof(uint64_t)), aligned(8)));

static struct {
    uint64_t *words;
    bool *is_zero; // per whole chunk
} pristine;

// Word by word: under AddressSanitizer the section has red zones, which these must cross.
__attribute__((no_sanitize("address"))) static void copy_words(uint64_t *to, const uint64_t *from,
                                                               size_t words)
{
    for (size_t i = 0; i < words; i++) {
        to[i] = from[i];
        __asm__ volatile("" ::: "memory"); // must not become a call of memcpy
    }
}

__attribute__((no_sanitize("address"))) static bool is_zero(const uint64_t *chunk)
{
    const pair *pairs = (const pair *)chunk;
    pair any = { 0 }, other = { 0 };
    for (size_t i = 0; i < CHUNK_WORDS / 2; i += 4) {
        any |= pairs[i] | pairs[i + 1];
        other |= pairs[i + 2] | pairs[i + 3];
    }
    any |= other;
    return (any[0] | any[1]) == 0;
}

static bool keep(const uint64_t *begin, size_t words)
{
    size_t chunks = words / CHUNK_WORDS;
    pristine.words = malloc(words * sizeof *pristine.words);
    pristine.is_zero = calloc(chunks + 1, sizeof *pristine.is_zero);
    if (pristine.words == NULL || pristine.is_zero == NULL)
        return false;
    copy_words(pristine.words, begin, words);
    for (size_t c = 0; c < chunks; c++)
        pristine.is_zero[c] = is_zero(begin + c * CHUNK_WORDS);
    return true;
}

bool pristine_restore(void)
{
    uint64_t *begin = (uint64_t *)(((uintptr_t)__start_hak_state + 7) & ~(uintptr_t)7);
    size_t words = ((size_t)__stop_hak_state - (size_t)begin) / 8;
    if (pristine.is_zero == NULL)
        return keep(begin, words);
    for (size_t i = 0; i < words; i += CHUNK_WORDS) {
        size_t left = words - i < CHUNK_WORDS ? words - i : CHUNK_WORDS;
        if (!pristine.is_zero[i / CHUNK_WORDS] || !is_zero(begin + i))
            copy_words(begin + i, pristine.words + i, left);
    }
    return true;
}

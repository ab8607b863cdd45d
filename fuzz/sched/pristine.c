// pristine.c: the allocator's .data and .bss lie in the section hak_state of the linked program,
// from __start_hak_state to __stop_hak_state.
#include "pristine.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

extern char __start_hak_state[], __stop_hak_state[];

// Word by word: under AddressSanitizer the section has red zones, which a copy must cross.
__attribute__((no_sanitize("address"))) static void copy_words(uint64_t *to, const uint64_t *from,
                                                               size_t words)
{
    for (size_t i = 0; i < words; i++) {
        to[i] = from[i];
        __asm__ volatile("" ::: "memory"); // must not become a call of memcpy
    }
}

bool pristine_restore(void)
{
    static uint64_t *pristine;
    uint64_t *begin = (uint64_t *)(((uintptr_t)__start_hak_state + 7) & ~(uintptr_t)7);
    size_t words = ((size_t)__stop_hak_state - (size_t)begin) / 8;
    if (pristine != NULL) {
        copy_words(begin, pristine, words);
        return true;
    }
    pristine = malloc(words * 8);
    if (pristine != NULL)
        copy_words(pristine, begin, words);
    return pristine != NULL;
}

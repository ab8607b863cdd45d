// empty.c: a range of inaccessible addresses, a bit for each MALLOC_ALIGN bytes of it.
//
//   range:  |16|16|16| ...            PROT_NONE, for ever
//   bits:   1 0 0 1 ...               1 = handed out
//
// Each block is searched for in the next word of 64 bits, so that the place of a freed one is not
// handed out again before all other words were looked at.
#include "empty.h"

#include <seam/os.h>

#include "random.h"

#define EMPTY_WORDS (EMPTY_BLOCKS / 64)

struct empty_range hak_empty;
static struct atomic_u64 bits[EMPTY_WORDS];
static struct atomic_u32 next;

void hak_empty_start(void)
{
    // With a page on both sides that is nobody's, whatever the kernel puts beside it.
    size_t page = os_page_size();
    char *base = os_reserve(EMPTY_BLOCKS * (size_t)MALLOC_ALIGN + 2 * page, page);
    if (base == NULL) // counted
        return;
    hak_empty.base = base + page;
    hak_empty.bytes = EMPTY_BLOCKS * (size_t)MALLOC_ALIGN;
}

static uint64_t bit_of(const void *p)
{
    return (uint64_t)1 << (size_t)((const char *)p - hak_empty.base) / MALLOC_ALIGN % 64;
}

static struct atomic_u64 *word_of(const void *p)
{
    return &bits[(size_t)((const char *)p - hak_empty.base) / MALLOC_ALIGN / 64];
}

// Bits of a word that stand for multiples of `align`.
static uint64_t aligned_bits(size_t align)
{
    uint64_t found = 0;
    for (size_t i = 0; i < 64; i += max_size(align / MALLOC_ALIGN, 1))
        found |= (uint64_t)1 << i;
    return found;
}

void *hak_empty_alloc(size_t align)
{
    if (hak_empty.base == NULL || align > (size_t)64 * MALLOC_ALIGN)
        return NULL;
    uint64_t possible = aligned_bits(align);
    for (uint32_t tries = 0; tries < EMPTY_WORDS; tries++) {
        uint32_t w = fetch_add_relaxed(EMPTY_NEXT, &next, 1) % EMPTY_WORDS;
        uint64_t there = possible & ~load_relaxed(EMPTY_LOAD, &bits[w]);
        if (there == 0)
            continue;
        uint64_t above = MITIGATE_RANDOM ? there & UINT64_MAX << hak_random_shared() % 64 : there;
        unsigned i = lowest_bit(above != 0 ? above : there);
        uint64_t bit = (uint64_t)1 << i;
        if ((fetch_or_relaxed(EMPTY_TAKE, &bits[w], bit) & bit) == 0)
            return hak_empty.base + ((size_t)w * 64 + i) * MALLOC_ALIGN;
    }
    return NULL;
}

bool hak_empty_free(const void *p)
{
    uint64_t bit = bit_of(p);
    return (uintptr_t)p % MALLOC_ALIGN == 0 &&
           (fetch_and_relaxed(EMPTY_GIVE, word_of(p), ~bit) & bit) != 0;
}

bool hak_empty_is_live(const void *p)
{
    return (uintptr_t)p % MALLOC_ALIGN == 0 &&
           (load_relaxed(EMPTY_IS_LIVE, word_of(p)) & bit_of(p)) != 0;
}

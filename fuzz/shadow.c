// shadow.c: an interval map of live blocks with their contents; what it checks: shadow.h.
//
// The map is a treap: a search tree by address in which no node's priority exceeds its parent's,
// the priority being a hash of the address, so that its shape depends on the set of blocks alone.
// Intervals [start, start + span) of the map are disjoint, so a new block can overlap only the
// block before its start or the one behind it.
//
// Contents are a function of the block's pattern and of the offset, never of the address: what
// realloc must keep can be checked wherever the block went. Bytes at the same offset of blocks with
// different patterns differ in almost all words, so a mix-up of two blocks is seen.
#include "shadow.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

__attribute__((format(printf, 2, 3))) static bool wrong(struct shadow *shadow, const char *format,
                                                        ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(shadow->reason, sizeof shadow->reason, format, args);
    va_end(args);
    return false;
}

// ---- the map ----

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 31) * 0x9e3779b97f4a7c15u;
    return x ^ x >> 29;
}

static uint64_t priority(const struct shadow_block *block)
{
    return mix((uintptr_t)block->start >> 4);
}

// Two blocks of size 0 must have different addresses: each covers one byte at least.
static size_t span(const struct shadow_block *block)
{
    return block->usable ? block->usable : 1;
}

static void insert(struct shadow *shadow, struct shadow_block *block)
{
    struct shadow_block **at = &shadow->root;
    uint64_t mine = priority(block);
    while (*at && priority(*at) >= mine)
        at = block->start < (*at)->start ? &(*at)->left : &(*at)->right;
    struct shadow_block *rest = *at, **less = &block->left, **more = &block->right;
    while (rest)
        if (rest->start < block->start) {
            *less = rest;
            less = &rest->right;
            rest = rest->right;
        } else {
            *more = rest;
            more = &rest->left;
            rest = rest->left;
        }
    *less = *more = NULL;
    *at = block;
}

static bool extract(struct shadow *shadow, const struct shadow_block *block)
{
    struct shadow_block **at = &shadow->root;
    while (*at && *at != block)
        at = block->start < (*at)->start ? &(*at)->left : &(*at)->right;
    if (!*at)
        return false;
    struct shadow_block *less = block->left, *more = block->right;
    while (less && more)
        if (priority(less) >= priority(more)) {
            *at = less;
            at = &less->right;
            less = less->right;
        } else {
            *at = more;
            at = &more->left;
            more = more->left;
        }
    *at = less ? less : more;
    return true;
}

// The live block that lies last among those that begin before `end`.
static const struct shadow_block *last_before(const struct shadow *shadow, const unsigned char *end)
{
    const struct shadow_block *found = NULL;
    for (const struct shadow_block *b = shadow->root; b;)
        if (b->start < end) {
            found = b;
            b = b->right;
        } else
            b = b->left;
    return found;
}

const struct shadow_block *shadow_find(const struct shadow *shadow, const void *p, size_t bytes)
{
    const unsigned char *address = p;
    const struct shadow_block *b = last_before(shadow, address + bytes);
    return b && address < b->start + span(b) ? b : NULL;
}

// ---- contents ----

// Loops over contents say nothing about the allocator: no coverage of them, and fewer features.
#if defined(__clang__)
#define UNCOUNTED __attribute__((no_sanitize("coverage")))
#else
#define UNCOUNTED
#endif

static uint64_t word_at(uint64_t pattern, size_t offset)
{
    return mix(pattern + offset / 8 + 1);
}

static size_t covered(const struct shadow *shadow, const struct shadow_block *block)
{
    return shadow->use_all ? block->usable : block->asked;
}

// The offset after `offset` that is looked at in `bytes` bytes; words are 8-aligned in the block.
static size_t next_word(size_t offset, size_t bytes)
{
    if (bytes > SHADOW_WHOLE_MAX && offset + 8 >= SHADOW_EDGE &&
        offset + SHADOW_STEP < bytes - SHADOW_EDGE)
        return offset + SHADOW_STEP;
    return offset + 8;
}

static size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

// Blocks are 16-aligned (check_place comes first), so whole words may be accessed as such.
typedef uint64_t __attribute__((may_alias)) word_t;

UNCOUNTED static void fill(unsigned char *start, size_t bytes, uint64_t pattern)
{
    size_t i = 0;
    for (; i + 8 <= bytes; i = next_word(i, bytes))
        *(word_t *)(start + i) = word_at(pattern, i);
    for (size_t k = i; k < bytes; k++)
        start[k] = (unsigned char)(word_at(pattern, i) >> 8 * (k - i));
}

// The first offset below `upto` where a block of `bytes` bytes differs from its fill, or `upto`.
// `zero` compares with zeroes instead. The last word may have been cut by a resize.
UNCOUNTED static size_t first_difference(const unsigned char *start, size_t bytes, size_t upto,
                                         uint64_t pattern, bool zero)
{
    size_t i = 0;
    while (i + 8 <= upto && *(const word_t *)(start + i) == (zero ? 0 : word_at(pattern, i)))
        i = next_word(i, bytes);
    if (i >= upto)
        return upto;
    uint64_t word = zero ? 0 : word_at(pattern, i);
    for (size_t k = i; k < min(i + 8, upto); k++)
        if (start[k] != (unsigned char)(word >> 8 * (k - i)))
            return k;
    return upto;
}

static bool contents(struct shadow *shadow, const struct shadow_block *block,
                     const unsigned char *start, size_t upto, const char *when)
{
    size_t at = first_difference(start, covered(shadow, block), upto, block->pattern, false);
    if (at == upto)
        return true;
    return wrong(shadow,
                 "contents changed %s: byte %zu of block %p (%zu bytes, thread %u) is 0x%02x", when,
                 at, (const void *)start, block->asked, block->thread, start[at]);
}

// ---- blocks ----

static void enter(struct shadow *shadow, struct shadow_block *block)
{
    if (!shadow->map)
        return;
    insert(shadow, block);
    shadow->live++;
    shadow->live_asked_bytes += block->asked;
    shadow->live_usable_bytes += block->usable;
}

// Alignment, size and place of a block that the allocator just returned.
static bool check_place(struct shadow *shadow, const struct shadow_block *block)
{
    uintptr_t address = (uintptr_t)block->start;
    if (address % block->align != 0)
        return wrong(shadow, "block %p of %zu bytes is not aligned to %zu", (void *)block->start,
                     block->asked, block->align);
    if (block->usable < block->asked)
        return wrong(shadow, "usable size %zu of block %p is less than the %zu bytes asked for",
                     block->usable, (void *)block->start, block->asked);
    if (address + span(block) < address)
        return wrong(shadow, "block %p of %zu bytes wraps around", (void *)block->start,
                     block->usable);
    const struct shadow_block *other = shadow->map ? last_before(shadow, block->start + span(block))
                                                   : NULL;
    if (other && other->start + span(other) > block->start)
        return wrong(shadow,
                     "block %p of %zu bytes (thread %u) overlaps live block %p of %zu bytes "
                     "(thread %u)",
                     (void *)block->start, block->usable, block->thread, (void *)other->start,
                     other->usable, other->thread);
    return true;
}

static void describe(struct shadow_block *block, void *p, size_t usable,
                     const struct shadow_request *request)
{
    *block = (struct shadow_block){ .start = p,
                                    .asked = request->asked,
                                    .usable = usable,
                                    .align = request->align,
                                    .pattern = request->pattern,
                                    .thread = request->thread };
}

bool shadow_take(struct shadow *shadow, struct shadow_block *block, void *p, size_t usable,
                 const struct shadow_request *request)
{
    describe(block, p, usable, request);
    if (!check_place(shadow, block))
        return false;
    if (request->zeroed) {
        size_t at = first_difference(block->start, block->asked, block->asked, 0, true);
        if (at != block->asked)
            return wrong(shadow,
                         "calloc gave block %p of %zu bytes whose byte %zu is 0x%02x, not 0", p,
                         block->asked, at, block->start[at]);
    }
    fill(block->start, covered(shadow, block), block->pattern);
    enter(shadow, block);
    return true;
}

bool shadow_check(struct shadow *shadow, const struct shadow_block *block)
{
    return contents(shadow, block, block->start, covered(shadow, block), "while it was live");
}

bool shadow_give(struct shadow *shadow, struct shadow_block *block)
{
    bool ok = shadow_check(shadow, block);
    if (!shadow->map)
        return ok;
    if (!extract(shadow, block))
        return wrong(shadow, "the harness frees block %p, which the map does not have",
                     (void *)block->start);
    shadow->live--;
    shadow->live_asked_bytes -= block->asked;
    shadow->live_usable_bytes -= block->usable;
    return ok;
}

bool shadow_moved(struct shadow *shadow, struct shadow_block *block, void *p, size_t usable,
                  const struct shadow_request *request)
{
    struct shadow_block old = *block;
    describe(block, p, usable, request);
    if (!check_place(shadow, block))
        return false;
    // realloc promises min(old, new) bytes of what was asked for; what lies behind is not kept.
    size_t kept = old.asked < block->asked ? old.asked : block->asked;
    if (!contents(shadow, &old, block->start, kept, "by realloc"))
        return false;
    fill(block->start, covered(shadow, block), block->pattern);
    enter(shadow, block);
    return true;
}

bool shadow_kept(struct shadow *shadow, struct shadow_block *block)
{
    bool ok = contents(shadow, block, block->start, covered(shadow, block), "by a failed realloc");
    enter(shadow, block);
    return ok;
}

void shadow_fill(struct shadow *shadow, struct shadow_block *block, uint64_t pattern)
{
    block->pattern = pattern;
    fill(block->start, covered(shadow, block), pattern);
}

// ---- the whole ----

// The depth is logarithmic in the number of blocks: recursion is safe.
static bool check_tree(struct shadow *shadow, const struct shadow_block *b,
                       const unsigned char **end, uint64_t *count)
{
    if (!b)
        return true;
    if (!check_tree(shadow, b->left, end, count))
        return false;
    if (b->start < *end)
        return wrong(shadow, "the harness's map is out of order at block %p", (void *)b->start);
    *end = b->start + span(b);
    ++*count;
    return shadow_check(shadow, b) && check_tree(shadow, b->right, end, count);
}

bool shadow_check_all(struct shadow *shadow)
{
    const unsigned char *end = NULL;
    uint64_t count = 0;
    if (!check_tree(shadow, shadow->root, &end, &count))
        return false;
    if (count != shadow->live)
        return wrong(shadow, "the harness's map has %" PRIu64 " blocks and counts %" PRIu64, count,
                     (uint64_t)shadow->live);
    return true;
}

void shadow_reset(struct shadow *shadow)
{
    shadow->root = NULL;
    shadow->live = shadow->live_asked_bytes = shadow->live_usable_bytes = 0;
}

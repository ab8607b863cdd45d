// realloc.c: a block in place, moved by the system, or copied.
//
//   class    stays from half of its room on, or while its class serves the size as well; beyond
//            GROWN_SIZE_MIN it moves to units of its own, as large blocks are
//   large    in place if the units behind it are free; huge: its pages move to a new place
//   others   by the system
//   else     a new block, a copy, and the old one is freed
//
// What is no live block's start is a fault, before anything is read from it.
#include "realloc.h"

#include <errno.h>

#include <seam/sanitizer.h>
#include <seam/tls.h>

#include "alloc.h"
#include "attach.h"
#include "fault.h"
#include "front.h"
#include "harden.h"
#include "large.h"
#include "mapped.h"
#include "outside.h"
#include "profile.h"
#include "profiled.h"
#include "sampled.h"
#include "sized.h"
#include "watched.h"

static void *out_of_memory(void)
{
    errno = ENOMEM;
    return NULL;
}

static struct slab *large_record(void *p, unsigned tag, enum fault otherwise)
{
    struct slab *s = hak_large_record(p);
    if (mistake(s == NULL || !hak_large_is_live(s)))
        hak_fault(otherwise, p, tag);
    return s;
}

// A block that grows: in units of its own it goes on in place. NULL: none are left.
static void *alloc_grown(size_t n)
{
    struct heap *h = hak_alloc_enter();
    if (h == NULL)
        return NULL;
    void *p = HEAP_HAS_HELD ? hak_large_alloc_growing(h, n) : hak_large_alloc(h, n, 1, false);
    hak_alloc_leave(h);
    if (p != NULL && hak_is_watched())
        hak_watched_large(p, n);
    return p;
}

// Frees a block past the magazine. False without a heap.
static bool free_past(void *p, unsigned tag)
{
    struct heap *h = hak_alloc_enter();
    if (h == NULL)
        return false;
    sanitize_give(p, hak_class_bytes(tag));
    hak_count(&hak_heap_counts(h, tag)->free_misses, 1);
    hak_heap_free_one(h, tag, p);
    hak_alloc_leave(h);
    return true;
}

// Frees a block whose contents have moved. If to a larger one, those of its size are hardly needed
// soon: its memory serves the next sizes.
static void free_moved(void *p, bool grown)
{
    if (!hak_arena_lacks(p)) {
        unsigned tag = hak_tag_of(p);
        if (MITIGATE_BLOCKS && tag - CLASS_FIRST < CLASS_COUNT) {
            hak_free_hardened(p, tag);
            return;
        }
        if (grown && tag <= CLASS_LAST && hak_class_bytes(tag) >= GROWN_PAST_MIN &&
            free_past(p, tag))
            return;
        if (tag <= CLASS_LAST && hak_magazine_push(&tls_heap()->magazines[tag], p)) {
            sanitize_give(p, hak_class_bytes(tag));
            return;
        }
    }
    hak_free_slow(p, NULL);
}

// Whether p is a block of a class, which says how many bytes it was asked for.
static bool has_canary(const void *p)
{
    return MITIGATE_CANARY && hak_arena_has(p) && hak_tag_of(p) - CLASS_FIRST < CLASS_COUNT;
}

// Copies to a new block. When a smaller block cannot be had the old one serves.
static void *move_block(void *p, size_t old_bytes, size_t n)
{
    int saved = errno;
    bool grown = n > old_bytes;
    size_t units_max = HEAP_HAS_HELD ? LARGE_SIZE_MAX : CLASS_REQUEST_MAX;
    void *to = grown && n > GROWN_SIZE_MIN && n <= units_max ? alloc_grown(n) : NULL;
    if (to == NULL)
        to = front_malloc(n);
    if (to == NULL) {
        if (grown)
            return NULL;
        errno = saved;
        if (has_canary(p))
            hak_harden_resize(p, hak_tag_of(p), n);
        else if (MITIGATE_POINTERS)
            hak_sized_note_kept();
        sanitize_take_more(p, n, old_bytes);
        return p;
    }
    sanitize_open(p, old_bytes);
    __builtin_memcpy(to, p, min_size(old_bytes, n));
    free_moved(p, grown);
    return to;
}

static void *realloc_large(void *p, unsigned tag, size_t n)
{
    struct slab *s = large_record(p, tag, FAULT_INVALID_REALLOC);
    size_t old_bytes = own_load(&s->bytes);
    struct heap *h = n > GROWN_SIZE_MIN ? hak_alloc_enter() : NULL;
    void *to = NULL;
    if (h != NULL) {
        if (hak_large_resize(h, s, n)) {
            to = p;
            hak_watched_resize(s);
        } else if ((to = hak_huge_move(h, s, n)) != NULL)
            hak_large_free(h, s); // its pages went to the new place
        hak_alloc_leave(h);
    }
    if (to == NULL)
        return move_block(p, old_bytes, n);
    if (hak_is_watched())
        hak_watched_large(to, n);
    return to;
}

static void *realloc_outside(void *p, size_t n)
{
    size_t old_bytes = hak_outside_usable(p, FAULT_FOREIGN_REALLOC, FAULT_INVALID_REALLOC);
    void *to = NULL;
    if (n > LARGE_SIZE_MAX && old_bytes > SAMPLED_SIZE_MAX && hak_profile_interval() == 0) {
        hak_enter_as_guest();
        to = hak_mapped_resize(p, n);
        hak_leave_as_guest();
    }
    return to != NULL ? to : move_block(p, old_bytes, n);
}

// Stops if no block of a class begins at p.
ALWAYS_INLINE void expect_small(void *p, unsigned tag, enum fault otherwise)
{
    if (mistake(tag == TAG_NONE || !hak_slab_begins_at(p, tag)))
        hak_fault(otherwise, p, tag);
    if (MITIGATE_BLOCKS)
        hak_harden_check(p, tag, otherwise);
}

void *hak_realloc_block(void *p, size_t n)
{
    if (n > REQUEST_MAX)
        return out_of_memory();
    if (unlikely(hak_arena_lacks(p)))
        return realloc_outside(p, n);
    unsigned tag = hak_tag_of(p);
    if (tag == TAG_PROFILED)
        tag = hak_profiled_class(p);
    else if (tag > CLASS_LAST)
        return realloc_large(p, tag, n);
    expect_small(p, tag, FAULT_INVALID_REALLOC);
    size_t room = hak_class_bytes(tag) - CANARY_BYTES;
    if (n <= room && (n > room / 2 || hak_class_of(n + CANARY_BYTES) == tag)) {
        if (MITIGATE_BLOCKS)
            hak_harden_resize(p, tag, n);
        sanitize_take_more(p, n, room);
        return p;
    }
    return move_block(p, MITIGATE_BLOCKS ? hak_harden_usable(p, tag) : room, n);
}

NOINLINE static size_t outside_usable(void *p)
{
    size_t bytes = hak_outside_usable(p, FAULT_FOREIGN_SIZE, FAULT_INVALID_SIZE);
    sanitize_take_more(p, bytes, bytes);
    return bytes;
}

NOINLINE static size_t large_usable(void *p, unsigned tag)
{
    size_t bytes = own_load(&large_record(p, tag, FAULT_INVALID_SIZE)->bytes);
    sanitize_take_more(p, bytes, bytes);
    return bytes;
}

// A leaf but for its tail calls: some programs ask for the size of each block at malloc and free.
size_t hak_usable_bytes(void *p)
{
    if (unlikely(hak_arena_lacks(p)))
        return outside_usable(p);
    unsigned tag = hak_tag_of(p);
    if (unlikely(tag > CLASS_LAST)) {
        if (tag != TAG_PROFILED)
            return large_usable(p, tag);
        tag = hak_profiled_class(p);
    }
    expect_small(p, tag, FAULT_INVALID_SIZE);
    size_t bytes = MITIGATE_BLOCKS ? hak_harden_usable(p, tag) : hak_class_bytes(tag);
    sanitize_take_more(p, bytes, bytes); // what is told may be used
    return bytes;
}

// watched.c: whose turn it is, and what is done then.
//
//   until_profile (heap): bytes until one is sampled
//   until_sample  (heap): allocations until one is guarded
//
// Below 0 it is somebody's turn. Every request counts down both, so that its turn in the one does
// not depend on the other. A profiled block of a class lies in a slab of its own kind
// (profiled.h), above the classes its record says what it is (LIVE_PROFILED), in a mapping of its
// own the table of samples alone knows.
#include "watched.h"

#include <seam/os.h>
#include <seam/sanitizer.h>
#include <seam/stack.h>
#include <seam/tls.h>

#include "attach.h"
#include "harden.h"
#include "intervals.h"
#include "large.h"
#include "profile.h"
#include "profiled.h"
#include "sampled.h"
#include "stacks.h"

// Return addresses, innermost first, from the user's call on.
struct frames {
    void *at[PROFILE_FRAMES + PROFILE_FRAMES_OWN];
    void **first;
    uint32_t count;
};

// Whether the profile takes the request, which was counted, as a sample.
static bool is_profiled(struct heap *h)
{
    if (h->until_profile >= 0)
        return false;
    uint64_t interval = hak_profile_interval();
    h->until_profile = interval != 0 ? hak_interval_next(&h->profile_random, interval) : INT64_MAX;
    return interval != 0;
}

// The same of a request that was not counted, as the thread has no heap yet, or none any more.
COLD static bool is_profiled_without_heap(size_t n)
{
    struct heap *h = hak_enter();
    if (h == NULL)
        return false;
    h->until_profile -= (int64_t)(n + (n == 0));
    bool is = is_profiled(h);
    hak_leave(h);
    return is;
}

static bool is_guarded(struct heap *h)
{
    if (h->until_sample >= 0)
        return false;
    h->until_sample = hak_sampled_interval();
    return true;
}

// Inlined, as alloc_profiled is: the unwinder goes through each frame of ours for nothing.
ALWAYS_INLINE void take_frames(struct frames *f)
{
    uint32_t count = hak_stacks_take(f->at, PROFILE_FRAMES + PROFILE_FRAMES_OWN);
    uint32_t own = stack_own(f->at, count);
    f->first = f->at + own;
    f->count = count - own;
}

// A block of the class that the profile knows of, or NULL.
ALWAYS_INLINE void *alloc_profiled(unsigned class_index, size_t n, bool *zero)
{
    struct frames f;
    take_frames(&f);
    struct heap *h = hak_enter();
    if (h == NULL)
        return NULL;
    h->now_ms = os_clock_ms();
    void *p = hak_profiled_alloc(h, class_index);
    if (p != NULL && !hak_profile_add(p, n, f.first, f.count, hak_heap_thread(h))) {
        hak_profiled_free(h, p);
        p = NULL;
    }
    hak_leave(h);
    if (p == NULL)
        return NULL;
    *zero = MITIGATE_ZERO;
    if (MITIGATE_BLOCKS)
        hak_harden_take(p, class_index, n, false);
    sanitize_take(p, n, hak_class_bytes(class_index));
    return p;
}

// A guarded block, or NULL.
COLD static void *alloc_guarded(size_t n, size_t align, bool *zero)
{
    struct heap *h = hak_enter();
    if (h == NULL)
        return NULL;
    void *p = hak_sampled_alloc(n, align);
    hak_leave(h);
    if (p == NULL)
        return NULL;
    *zero = true;
    sanitize_take(p, n, n);
    return p;
}

COLD void *hak_watched_alloc(unsigned class_index, size_t n, size_t align, bool *zero)
{
    struct heap *h = tls_heap();
    bool real = hak_heap_is_real(h);
    void *p = NULL;
    if (real ? is_profiled(h) : is_profiled_without_heap(n))
        p = alloc_profiled(class_index, n, zero);
    if (real && is_guarded(h) && p == NULL)
        p = alloc_guarded(n, align, zero);
    return p;
}

void hak_watched_large(void *p, size_t n)
{
    struct heap *h = tls_heap();
    struct frames f;
    if (!hak_watched_turn(n) ||
        !(hak_heap_is_real(h) ? is_profiled(h) : is_profiled_without_heap(n)))
        return;
    take_frames(&f);
    hak_enter_as_guest();
    if (hak_profile_add(p, n, f.first, f.count, hak_heap_thread(h)) && hak_arena_has(p))
        hak_large_note_profiled(hak_large_record(p), true);
    hak_leave_as_guest();
}

void hak_watched_free(struct heap *h, void *p)
{
    unsigned class_index = hak_profiled_class(p);
    sanitize_give(p, hak_class_bytes(class_index));
    if (MITIGATE_BLOCKS)
        (void)hak_harden_give(p, class_index);
    hak_profile_freed(p, hak_heap_thread(h));
    hak_profiled_free(h, p);
}

void hak_watched_resize(struct slab *s)
{
    if (!hak_large_is_profiled(s))
        return;
    hak_profile_freed(hak_slab_base(s), hak_heap_thread(tls_heap()));
    hak_large_note_profiled(s, false);
}

// harden.h: what the hardened flavour does to each block of a class when it is handed out and when
// it comes back, and to pointers that are said to be one. Nothing in other flavours.
//
//   not handed out  =>  every byte of the block is 0 (FREE_IS_ZERO)
//   handed out      =>  its canary tells how many bytes were asked for (MITIGATE_CANARY)
//   state (arena.h): LIVE from take to give, wherever else the block is meanwhile
//
// Any thread, also outside of the fork gate: only the block, its state and immutable fields of
// its slab are used. A mistake that is found is a fault. Inlined: this is most of what a malloc or
// a free costs.
#ifndef HAK_HARDEN_H
#define HAK_HARDEN_H

#include <seam/sanitizer.h>

#include "canary.h"
#include "fault.h"
#include "slab.h"
#include "zero.h"

// Without the state, a block's start is known by its slab's record.
#define NEEDS_START (!MITIGATE_STATE && (MITIGATE_POINTERS || MITIGATE_CANARY || FREE_IS_ZERO))

// Whether p is the start of a block that may have been handed out, by its slab's record.
bool hak_harden_is_start(const void *p);

// The faults of the functions below.
_Noreturn COLD void hak_harden_fault_free(const void *p, unsigned class_index, enum live_state was);
_Noreturn COLD void hak_harden_fault_written(const void *p, unsigned class_index);

// Blocks of these classes are looked at and cleared without a call.
static inline bool hak_harden_is_short(unsigned class_index)
{
    return class_index <= hak_class_of(ZERO_SHORT_MAX);
}

// A block that is not handed out must read as zero, else the fault is told.
ALWAYS_INLINE void hak_harden_check_zero(const void *p, unsigned class_index)
{
    size_t bytes = hak_class_bytes(class_index);
    bool zero = hak_harden_is_short(class_index) ? hak_zero_is_short(p, bytes)
                                                 : hak_zero_is_long(p, bytes);
    if (unlikely(!zero))
        hak_harden_fault_written(p, class_index);
}

// The block is handed out for a request of n bytes. `fresh`: it was not used since the kernel gave
// it, and is not looked at.
ALWAYS_INLINE void hak_harden_take(void *p, unsigned class_index, size_t n, bool fresh)
{
    size_t bytes = hak_class_bytes(class_index);
    sanitize_open(p, bytes);
    if (MITIGATE_STATE && unlikely(!hak_live_set(p)))
        hak_fault(FAULT_CORRUPT_RECORD, p, class_index);
    if (MITIGATE_ZERO && !fresh)
        hak_harden_check_zero(p, class_index);
    if (MITIGATE_CANARY) {
        n = max_size(n, 1);
        hak_canary_write(p, bytes, n);
        if (!FREE_IS_ZERO)
            __builtin_memset((char *)p + n, 0, bytes - CANARY_BYTES - n);
    }
}

// Clears a block of which the user had n bytes. The slack, which was looked at, is zero already.
ALWAYS_INLINE void hak_harden_clear_long(void *p, size_t bytes, size_t n)
{
    if (!MITIGATE_CANARY) {
        hak_zero_set_long(p, bytes);
        return;
    }
    hak_zero_set_long(p, max_size(round_up(n, MALLOC_ALIGN), ZERO_SHORT_MAX));
    hak_canary_clear(p, bytes);
}

// The user gave the block back: it must be one that is handed out, with nothing written behind it.
// It is zeroed. Returns for how many bytes it was handed out, if the canary tells, 1 at least.
ALWAYS_INLINE size_t hak_harden_give(void *p, unsigned class_index)
{
    size_t bytes = hak_class_bytes(class_index), n = bytes;
    // What is written to, or looked at where a block would end, must be a block. The state of what
    // is none is never LIVE.
    if (NEEDS_START && unlikely(!hak_harden_is_start(p)))
        hak_harden_fault_free(p, class_index, LIVE_FREED);
    if (MITIGATE_STATE) {
        enum live_state was;
        if (unlikely((uintptr_t)p % MALLOC_ALIGN != 0))
            hak_harden_fault_free(p, class_index, LIVE_NEVER);
        if (unlikely((was = hak_live_clear(p)) != LIVE_NOW))
            hak_harden_fault_free(p, class_index, was);
    }
    sanitize_open(p, bytes);
    if (MITIGATE_CANARY) {
        n = hak_canary_read(p, class_index, bytes);
        bool ok = hak_harden_is_short(class_index) ? hak_canary_slack_ok(p, bytes, n)
                                                   : hak_canary_slack_long_ok(p, bytes, n);
        if (unlikely(!ok))
            hak_canary_fault(p, class_index, bytes);
    }
    if (FREE_IS_ZERO && hak_harden_is_short(class_index))
        hak_zero_set_short(p, bytes);
    else if (FREE_IS_ZERO)
        hak_harden_clear_long(p, bytes, n);
    return n;
}

// Bytes of a block, which is handed out, that its user may use.
static inline size_t hak_harden_usable(const void *p, unsigned class_index)
{
    size_t bytes = hak_class_bytes(class_index);
    return MITIGATE_CANARY ? hak_canary_read(p, class_index, bytes) : bytes;
}

// The block, which is handed out, serves a request of n bytes from now on. It is large enough.
void hak_harden_resize(void *p, unsigned class_index, size_t n);

// `p`, whose tag is a class, must be a block that is handed out, else the fault is `otherwise`.
static inline void hak_harden_check(const void *p, unsigned class_index, enum fault otherwise)
{
    if ((NEEDS_START && !hak_harden_is_start(p)) ||
        (MITIGATE_STATE && ((uintptr_t)p % MALLOC_ALIGN != 0 || !hak_live_is_set(p))))
        hak_fault(otherwise, p, class_index);
}

// Once at start.
void hak_harden_start(void);

// At the end of start: what does not change any more becomes read-only.
void hak_harden_seal(void);

#endif

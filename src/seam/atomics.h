// atomics.h (seam): every atomic operation of the allocator, its memory order in its name.
//
// What a file of src/ may use:
//
//   struct atomic_u8 / atomic_u32 / atomic_u64 / atomic_ptr   opaque cells, zero = value 0
//
//   load_relaxed  load_acquire  load_seq_cst      (SITE, cell)
//   store_relaxed store_release store_seq_cst     (SITE, cell, value)
//   exchange_relaxed exchange_acquire exchange_release exchange_acq_rel exchange_seq_cst
//                                                 (SITE, cell, value) -> old
//   fetch_or_relaxed fetch_or_release fetch_or_acq_rel fetch_or_seq_cst (SITE, cell, bits)  -> old
//   fetch_and_relaxed fetch_and_acquire fetch_and_seq_cst               (SITE, cell, bits)  -> old
//   fetch_add_relaxed fetch_add_seq_cst fetch_sub_release               (SITE, cell, n)     -> old
//   cas_weak_relaxed cas_weak_acquire cas_weak_release cas_weak_acq_rel
//   cas_strong_relaxed cas_strong_acquire         (SITE, cell, &expected, desired) -> bool
//     A failed compare-and-swap stores what it read in `expected`, with relaxed order; acquire
//     and acq_rel forms of it read with acquire order also on failure.
//
//   load_plain (SITE, cell), store_plain (SITE, cell, value)   not atomic: the cell is one thread's
//                                 at a time, by a token say, which a test build looks at
//   init_cell     (cell, value)   before any other thread can reach the cell; not atomic
//   spin_hint     (SITE)          in every retry loop; counts the turn (retries.h)
//   wait_hint     (SITE)          where a turn waits for another thread: not counted
//   tally         (SITE, cell)    adds 1 to a u64 that only statistics read; relaxed, and no
//                                 scheduling point of a test build
//
// SITE is a name out of sites.h, used at one place only: a test build identifies, traces and
// weakens each operation by it. A release build does not see it.
//
// Owner cells (struct own_u32 / own_u64 / own_ptr) are written by one thread at a time and read by
// others only for statistics and audits: own_load, own_store are plain moves that a race detector
// accepts, and no scheduling points.
//
// All macros, so that the order is a constant at every optimisation level. The raw builtins are
// poisoned below.
#ifndef HAK_ATOMICS_H
#define HAK_ATOMICS_H

#include "../base.h"
#include "../sites.h"

struct atomic_u8 {
    uint8_t raw;
};
struct atomic_u32 {
    uint32_t raw;
};
struct atomic_u64 {
    uint64_t raw;
};
struct atomic_ptr {
    void *raw;
};
struct own_u32 {
    uint32_t raw;
};
struct own_u64 {
    uint64_t raw;
};
struct own_ptr {
    void *raw;
};

#define HAK_AT(site) ((void)SITE_##site)

#define load_relaxed(site, cell) (HAK_AT(site), __atomic_load_n(&(cell)->raw, __ATOMIC_RELAXED))
#define load_acquire(site, cell) (HAK_AT(site), __atomic_load_n(&(cell)->raw, __ATOMIC_ACQUIRE))
#define load_seq_cst(site, cell) (HAK_AT(site), __atomic_load_n(&(cell)->raw, __ATOMIC_SEQ_CST))

#define store_relaxed(site, cell, v) \
    (HAK_AT(site), __atomic_store_n(&(cell)->raw, v, __ATOMIC_RELAXED))
#define store_release(site, cell, v) \
    (HAK_AT(site), __atomic_store_n(&(cell)->raw, v, __ATOMIC_RELEASE))
#define store_seq_cst(site, cell, v) \
    (HAK_AT(site), __atomic_store_n(&(cell)->raw, v, __ATOMIC_SEQ_CST))

#define exchange_relaxed(site, cell, v) \
    (HAK_AT(site), __atomic_exchange_n(&(cell)->raw, v, __ATOMIC_RELAXED))
#define exchange_acquire(site, cell, v) \
    (HAK_AT(site), __atomic_exchange_n(&(cell)->raw, v, __ATOMIC_ACQUIRE))
#define exchange_release(site, cell, v) \
    (HAK_AT(site), __atomic_exchange_n(&(cell)->raw, v, __ATOMIC_RELEASE))
#define exchange_acq_rel(site, cell, v) \
    (HAK_AT(site), __atomic_exchange_n(&(cell)->raw, v, __ATOMIC_ACQ_REL))
#define exchange_seq_cst(site, cell, v) \
    (HAK_AT(site), __atomic_exchange_n(&(cell)->raw, v, __ATOMIC_SEQ_CST))

#define fetch_or_relaxed(site, cell, v) \
    (HAK_AT(site), __atomic_fetch_or(&(cell)->raw, v, __ATOMIC_RELAXED))
#define fetch_or_release(site, cell, v) \
    (HAK_AT(site), __atomic_fetch_or(&(cell)->raw, v, __ATOMIC_RELEASE))
#define fetch_or_acq_rel(site, cell, v) \
    (HAK_AT(site), __atomic_fetch_or(&(cell)->raw, v, __ATOMIC_ACQ_REL))
#define fetch_or_seq_cst(site, cell, v) \
    (HAK_AT(site), __atomic_fetch_or(&(cell)->raw, v, __ATOMIC_SEQ_CST))
#define fetch_and_seq_cst(site, cell, v) \
    (HAK_AT(site), __atomic_fetch_and(&(cell)->raw, v, __ATOMIC_SEQ_CST))
#define fetch_and_relaxed(site, cell, v) \
    (HAK_AT(site), __atomic_fetch_and(&(cell)->raw, v, __ATOMIC_RELAXED))
#define fetch_and_acquire(site, cell, v) \
    (HAK_AT(site), __atomic_fetch_and(&(cell)->raw, v, __ATOMIC_ACQUIRE))
#define fetch_add_relaxed(site, cell, v) \
    (HAK_AT(site), __atomic_fetch_add(&(cell)->raw, v, __ATOMIC_RELAXED))
#define fetch_add_seq_cst(site, cell, v) \
    (HAK_AT(site), __atomic_fetch_add(&(cell)->raw, v, __ATOMIC_SEQ_CST))
#define fetch_sub_release(site, cell, v) \
    (HAK_AT(site), __atomic_fetch_sub(&(cell)->raw, v, __ATOMIC_RELEASE))

#define HAK_CAS(site, cell, expected, desired, weak, success, failure) \
    (HAK_AT(site),                                                     \
     __atomic_compare_exchange_n(&(cell)->raw, expected, desired, weak, success, failure))
#define cas_weak_relaxed(site, cell, e, d) \
    HAK_CAS(site, cell, e, d, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)
#define cas_weak_acquire(site, cell, e, d) \
    HAK_CAS(site, cell, e, d, true, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)
#define cas_weak_release(site, cell, e, d) \
    HAK_CAS(site, cell, e, d, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED)
#define cas_weak_acq_rel(site, cell, e, d) \
    HAK_CAS(site, cell, e, d, true, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)
#define cas_strong_relaxed(site, cell, e, d) \
    HAK_CAS(site, cell, e, d, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)
#define cas_strong_acquire(site, cell, e, d) \
    HAK_CAS(site, cell, e, d, false, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)

#define load_plain(site, cell) (HAK_AT(site), (cell)->raw)
#define store_plain(site, cell, v) (HAK_AT(site), (void)((cell)->raw = (v)))
#define init_cell(cell, v) ((void)((cell)->raw = (v)))

#define own_load(cell) __atomic_load_n(&(cell)->raw, __ATOMIC_RELAXED)
#define own_store(cell, v) __atomic_store_n(&(cell)->raw, v, __ATOMIC_RELAXED)
// Orders the owner's own stores for the kernel's snapshot of memory in fork: no instruction.
#define own_order() __atomic_signal_fence(__ATOMIC_SEQ_CST)

#define tally(site, cell) ((void)fetch_add_relaxed(site, cell, 1))

// The processor's hint for a spinning thread.
#if defined(__x86_64__)
#define wait_hint(site) (HAK_AT(site), __builtin_ia32_pause())
#elif defined(__aarch64__)
#define wait_hint(site) (HAK_AT(site), ({ __asm__ volatile("yield"); }))
#else
#error "atomics.h: x86-64 and aarch64 are the processors this was written for"
#endif

// Counts a turn of the retry loop. Contended paths only: defined in retries.c.
void hak_count_retry(enum site site);
#define spin_hint(site) (hak_count_retry(SITE_##site), wait_hint(site))

#pragma GCC poison __atomic_load_n __atomic_store_n __atomic_exchange_n __atomic_fetch_or
#pragma GCC poison __atomic_fetch_and __atomic_fetch_add __atomic_fetch_sub
#pragma GCC poison __atomic_compare_exchange_n __atomic_thread_fence __atomic_signal_fence
#pragma GCC poison __sync_synchronize atomic_load atomic_store

#endif

// atomics.h (seam of the sched build): the same operations as src/seam/atomics.h, each of them a
// scheduling point of the deterministic scheduler. Cells have the same size and layout.
//
// The contract is that of src/seam/atomics.h; a program that includes this one instead cannot tell,
// except that it must run inside of sched_run or alone.
#ifndef SCHED_SEAM_ATOMICS_H
#define SCHED_SEAM_ATOMICS_H

#include <base.h>
#include <sites.h>

#include "../scheduler.h"

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

// Sites are numbered from 1: 0 is a place without a name.
#define SCHED_SITE(site_name, event, cell_bytes, success, failure)                               \
    static const struct sched_site at_ = { #site_name, __FILE__, __LINE__, SITE_##site_name + 1, \
                                           event,      success,  failure,  cell_bytes }
#define SCHED_VALUE(v) ((uint64_t)(uintptr_t)(v))
#define SCHED_AS(cell, v) ((__typeof__((cell)->raw))(uintptr_t)(v))

#define SCHED_LOAD(site, cell, order)                                \
    ({                                                               \
        SCHED_SITE(site, EVENT_LOAD, sizeof((cell)->raw), order, 0); \
        SCHED_AS(cell, sched_load(&at_, &(cell)->raw));              \
    })
#define load_relaxed(site, cell) SCHED_LOAD(site, cell, 0)
#define load_acquire(site, cell) SCHED_LOAD(site, cell, ORDER_ACQUIRE)
#define load_seq_cst(site, cell) SCHED_LOAD(site, cell, ORDER_ACQUIRE | ORDER_SC)

// The cell of a load may be const, that of a store is not.
#define SCHED_STORE(site, cell, v, order)                             \
    ({                                                                \
        SCHED_SITE(site, EVENT_STORE, sizeof((cell)->raw), order, 0); \
        sched_store(&at_, &(cell)->raw, SCHED_VALUE(v));              \
    })
#define store_relaxed(site, cell, v) SCHED_STORE(site, cell, v, 0)
#define store_release(site, cell, v) SCHED_STORE(site, cell, v, ORDER_RELEASE)
#define store_seq_cst(site, cell, v) SCHED_STORE(site, cell, v, ORDER_RELEASE | ORDER_SC)

#define SCHED_ACQ_REL (ORDER_ACQUIRE | ORDER_RELEASE)
#define SCHED_UPDATE(site, cell, how, v, order)                                \
    ({                                                                         \
        SCHED_SITE(site, EVENT_UPDATE, sizeof((cell)->raw), order, 0);         \
        SCHED_AS(cell, sched_update(&at_, &(cell)->raw, how, SCHED_VALUE(v))); \
    })
#define exchange_relaxed(site, cell, v) SCHED_UPDATE(site, cell, UPDATE_EXCHANGE, v, 0)
#define exchange_acquire(site, cell, v) SCHED_UPDATE(site, cell, UPDATE_EXCHANGE, v, ORDER_ACQUIRE)
#define exchange_release(site, cell, v) SCHED_UPDATE(site, cell, UPDATE_EXCHANGE, v, ORDER_RELEASE)
#define exchange_acq_rel(site, cell, v) SCHED_UPDATE(site, cell, UPDATE_EXCHANGE, v, SCHED_ACQ_REL)
#define exchange_seq_cst(site, cell, v) \
    SCHED_UPDATE(site, cell, UPDATE_EXCHANGE, v, SCHED_ACQ_REL | ORDER_SC)

#define fetch_or_relaxed(site, cell, v) SCHED_UPDATE(site, cell, UPDATE_OR, v, 0)
#define fetch_or_release(site, cell, v) SCHED_UPDATE(site, cell, UPDATE_OR, v, ORDER_RELEASE)
#define fetch_or_acq_rel(site, cell, v) SCHED_UPDATE(site, cell, UPDATE_OR, v, SCHED_ACQ_REL)
#define fetch_or_seq_cst(site, cell, v) \
    SCHED_UPDATE(site, cell, UPDATE_OR, v, SCHED_ACQ_REL | ORDER_SC)
#define fetch_and_seq_cst(site, cell, v) \
    SCHED_UPDATE(site, cell, UPDATE_AND, v, SCHED_ACQ_REL | ORDER_SC)
#define fetch_and_relaxed(site, cell, v) SCHED_UPDATE(site, cell, UPDATE_AND, v, 0)
#define fetch_and_acquire(site, cell, v) SCHED_UPDATE(site, cell, UPDATE_AND, v, ORDER_ACQUIRE)
#define fetch_add_relaxed(site, cell, v) SCHED_UPDATE(site, cell, UPDATE_ADD, v, 0)
#define fetch_add_seq_cst(site, cell, v) \
    SCHED_UPDATE(site, cell, UPDATE_ADD, v, SCHED_ACQ_REL | ORDER_SC)
#define fetch_sub_release(site, cell, v) SCHED_UPDATE(site, cell, UPDATE_SUB, v, ORDER_RELEASE)

#define SCHED_CAS(site, cell, expected, desired, event, success, failure)             \
    ({                                                                                \
        SCHED_SITE(site, event, sizeof((cell)->raw), success, failure);               \
        uint64_t expected_ = SCHED_VALUE(*(expected));                                \
        bool done_ = sched_cas(&at_, &(cell)->raw, &expected_, SCHED_VALUE(desired)); \
        if (!done_)                                                                   \
            *(expected) = SCHED_AS(cell, expected_);                                  \
        done_;                                                                        \
    })
#define cas_weak_relaxed(site, cell, e, d) SCHED_CAS(site, cell, e, d, EVENT_CAS_WEAK, 0, 0)
#define cas_weak_acquire(site, cell, e, d) \
    SCHED_CAS(site, cell, e, d, EVENT_CAS_WEAK, ORDER_ACQUIRE, ORDER_ACQUIRE)
#define cas_weak_release(site, cell, e, d) \
    SCHED_CAS(site, cell, e, d, EVENT_CAS_WEAK, ORDER_RELEASE, 0)
#define cas_weak_acq_rel(site, cell, e, d) \
    SCHED_CAS(site, cell, e, d, EVENT_CAS_WEAK, SCHED_ACQ_REL, ORDER_ACQUIRE)
#define cas_strong_relaxed(site, cell, e, d) SCHED_CAS(site, cell, e, d, EVENT_CAS_STRONG, 0, 0)
#define cas_strong_acquire(site, cell, e, d) \
    SCHED_CAS(site, cell, e, d, EVENT_CAS_STRONG, ORDER_ACQUIRE, ORDER_ACQUIRE)

// Points like atomic ones: the model's happens-before must order those of two threads.
#define load_plain(site, cell) SCHED_LOAD(site, cell, ORDER_PLAIN)
#define store_plain(site, cell, v) SCHED_STORE(site, cell, v, ORDER_PLAIN)

#define init_cell(cell, v) sched_init_cell(&(cell)->raw, sizeof((cell)->raw), SCHED_VALUE(v))

// Owner cells are no scheduling points: nothing may depend on when another thread sees them.
#define own_load(cell) __atomic_load_n(&(cell)->raw, __ATOMIC_RELAXED)
#define own_store(cell, v) __atomic_store_n(&(cell)->raw, v, __ATOMIC_RELAXED)
#define own_order() ((void)0)

// Nothing may depend on what statistics count.
#define tally(site, cell) \
    ((void)SITE_##site,   \
     __atomic_store_n(&(cell)->raw, __atomic_load_n(&(cell)->raw, __ATOMIC_RELAXED) + 1, 0))

void hak_count_retry(enum site site);
#define spin_hint(site) (hak_count_retry(SITE_##site), wait_hint(site))
#define wait_hint(site)                         \
    ({                                          \
        SCHED_SITE(site, EVENT_YIELD, 0, 0, 0); \
        sched_yield_point(&at_);                \
    })

#pragma GCC poison __atomic_load_n __atomic_store_n __atomic_exchange_n __atomic_fetch_or
#pragma GCC poison __atomic_fetch_and __atomic_fetch_add __atomic_fetch_sub
#pragma GCC poison __atomic_compare_exchange_n __atomic_thread_fence __atomic_signal_fence
#pragma GCC poison __sync_synchronize atomic_load atomic_store

#endif

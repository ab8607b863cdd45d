// lock.h (seam): a futex mutex of one word, held only on slow paths, with ranks.
//
// Ranks order acquisition: a thread holding a lock may take only one of higher rank. All locks are
// taken inside of the fork gate (attach.h), so that at a fork all of them are free; but for a fork
// in a signal handler.
// Algorithm: the three-state mutex of U. Drepper, "Futexes Are Tricky", 2011, section 5.
#ifndef HAK_LOCK_H
#define HAK_LOCK_H

#include <seam/atomics.h>

enum lock_rank {
    RANK_START = 1, // set-up of the process
    RANK_HEAPS,     // idle list, heap table
    RANK_PROFILED,  // slabs of sampled blocks
    RANK_PROFILE,   // where they came from
    RANK_ARENA,     // begin of SuperSlabs, search for huge runs
    RANK_REGISTRY,  // mappings outside of the arena
    RANK_META,      // metadata memory
};

struct lock {
    struct atomic_u32 state; // 0 free, 1 held, 2 held and someone may wait
    uint32_t rank;
    // Acquisitions that did not get it at once, and those of them that called the kernel.
    // Written by the holder.
    struct own_u64 contended, slept;
};

#define LOCK_INIT(r)       \
    {                      \
        { 0 }, (r), { 0 }, \
        {                  \
            0              \
        }                  \
    }

void hak_lock_acquire(struct lock *l);
void hak_lock_release(struct lock *l);

// Whether the calling thread holds any: in a signal handler, what it interrupted does.
bool hak_lock_is_any_held(void);

#define lock_acquire(l) hak_lock_acquire(l)
#define lock_release(l) hak_lock_release(l)
#define lock_is_any_held() hak_lock_is_any_held()

#endif

// lock.h (seam of the sched build): locks as scheduling points. Same layout and ranks as
// src/seam/lock.h; who waits is not run until the lock is free, and who gets it is a decision.
#ifndef SCHED_SEAM_LOCK_H
#define SCHED_SEAM_LOCK_H

#include <seam/atomics.h>

enum lock_rank {
    RANK_HEAPS = 1,
    RANK_ARENA,
    RANK_REGISTRY,
    RANK_META,
};

struct lock {
    struct atomic_u32 state; // 0 free, 1 held
    uint32_t rank;
};

#define LOCK_INIT(r) { { 0 }, (r) }

#define SCHED_LOCK_SITE(text, event)                                                              \
    static const struct sched_site at_ = { text, __FILE__, __LINE__, 0, event, 0, 0, 4 }
#define lock_acquire(l)                                                                           \
    ({                                                                                            \
        SCHED_LOCK_SITE("lock_acquire", EVENT_LOCK);                                              \
        sched_lock(&at_, &(l)->state.raw, (l)->rank);                                             \
    })
#define lock_release(l)                                                                           \
    ({                                                                                            \
        SCHED_LOCK_SITE("lock_release", EVENT_UNLOCK);                                            \
        sched_unlock(&at_, &(l)->state.raw, (l)->rank);                                           \
    })

#endif

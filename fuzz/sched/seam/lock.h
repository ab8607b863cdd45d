// lock.h (seam of the sched build): the same locks and ranks, as scheduling points: who waits is
// not run until the lock is free, and who gets it is a decision.
#ifndef SCHED_SEAM_LOCK_H
#define SCHED_SEAM_LOCK_H

#include_next <seam/lock.h>

#undef lock_acquire
#undef lock_release
#undef lock_is_any_held

#define SCHED_LOCK_SITE(text, event) \
    static const struct sched_site at_ = { text, __FILE__, __LINE__, 0, event, 0, 0, 4 }
#define lock_acquire(l)                               \
    ({                                                \
        SCHED_LOCK_SITE("lock_acquire", EVENT_LOCK);  \
        sched_lock(&at_, &(l)->state.raw, (l)->rank); \
    })
#define lock_release(l)                                 \
    ({                                                  \
        SCHED_LOCK_SITE("lock_release", EVENT_UNLOCK);  \
        sched_unlock(&at_, &(l)->state.raw, (l)->rank); \
    })
#define lock_is_any_held() false // no logical thread forks while it holds one

#endif

// thread.h (seam of the sched build): logical threads end and fork when the harness says so
// (process.h).
#ifndef SCHED_SEAM_THREAD_H
#define SCHED_SEAM_THREAD_H

#include_next <seam/thread.h>

#include "../scheduler.h"

// Logical threads are none that the C library knows.
#undef thread_is_alone
#define thread_is_alone() false

#undef thread_yield
#define thread_yield()                                           \
    ({                                                           \
        static const struct sched_site at_ = {                   \
            "yield", __FILE__, __LINE__, 0, EVENT_YIELD, 0, 0, 0 \
        };                                                       \
        sched_yield_point(&at_);                                 \
    })

#endif

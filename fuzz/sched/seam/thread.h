// thread.h (seam of the sched build): as src/seam/thread.h; logical threads end and fork when the
// harness says so (process.h).
#ifndef SCHED_SEAM_THREAD_H
#define SCHED_SEAM_THREAD_H

#include <base.h>

#include "../scheduler.h"

void hak_thread_start(void (*on_exit)(void), void (*prepare)(void), void (*parent)(void),
                      void (*child)(void));
void hak_thread_watch_exit(void);
uint32_t hak_thread_id(void);

#define thread_yield()                                                                            \
    ({                                                                                            \
        static const struct sched_site at_ = { "yield", __FILE__, __LINE__, 0,                    \
                                               EVENT_YIELD, 0, 0, 0 };                            \
        sched_yield_point(&at_);                                                                  \
    })

#endif

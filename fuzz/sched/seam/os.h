// os.h (seam of the sched build): the same calls on a virtual system (system.h). Those that change
// it are scheduling points and can be made to fail; the rest are plain functions.
#ifndef SCHED_SEAM_OS_H
#define SCHED_SEAM_OS_H

#include_next <seam/os.h>

#include "../scheduler.h"
#include "../system.h"

#undef os_reserve
#undef os_commit
#undef os_decommit
#undef os_release
#undef os_move
#undef os_extend
#undef os_protect_none
#undef os_hide
#undef os_stow
#undef os_unstow
#undef os_unstow_none
#undef os_is_mapped
#undef os_advise_huge
#undef os_dump
#undef os_is_aborting

#define SCHED_OS(call, function, ...)                          \
    ({                                                         \
        static const struct sched_site at_ = {                 \
            call, __FILE__, __LINE__, 0, EVENT_SYSTEM, 0, 0, 0 \
        };                                                     \
        function(&at_, __VA_ARGS__);                           \
    })
#define os_reserve(bytes, align) SCHED_OS("reserve", system_reserve, bytes, align)
#define os_commit(p, bytes) SCHED_OS("commit", system_commit, p, bytes)
#define os_decommit(p, bytes) SCHED_OS("decommit", system_decommit, p, bytes)
#define os_release(p, bytes) SCHED_OS("release", system_release, p, bytes)
#define os_move(to, from, bytes) SCHED_OS("move", system_move, to, from, bytes)
#define os_extend(p, old_bytes, new_bytes) \
    SCHED_OS("extend", system_extend, p, old_bytes, new_bytes)
#define os_protect_none(p, bytes) SCHED_OS("protect_none", system_protect_none, p, bytes)
#define os_hide(p, bytes) ((void)(p), (void)(bytes), true)
// It has no addresses of its own choice: pages are hidden where they are.
#define os_stow(p, bytes) ((void)(p), (void)(bytes), (void *)NULL)
#define os_unstow(p, stowed, bytes) ((void)(p), (void)(stowed), (void)(bytes), false)
#define os_unstow_none(stowed, bytes) ((void)(stowed), (void)(bytes), true)
#define os_is_mapped(p) ((void)(p), true)
#define os_advise_huge(p, bytes) ((void)(p), (void)(bytes))
#define os_dump(p, bytes, wanted) ((void)(p), (void)(bytes))
#define os_is_aborting() false // nothing runs after it

#endif

// sites.h: the name of every place in src/ that executes an atomic operation or waits for one.
//
// A name is used at exactly one place. A test build identifies, traces and weakens operations by
// it; a release build does not see it. The text says what the operation publishes or reads and why
// its order is what it is. Grouped by the file of use.
#ifndef HAK_SITES_H
#define HAK_SITES_H

#define HAK_SITES(X)                                                                              \
    /* seam/lock.c */                                                                             \
    X(LOCK_TRY, "acquire: pairs with LOCK_RELEASE, sees what the last holder wrote")              \
    X(LOCK_PEEK, "relaxed: only decides whether LOCK_SPIN_TRY is worth it")                       \
    X(LOCK_SPIN_TRY, "acquire: pairs with LOCK_RELEASE")                                          \
    X(LOCK_SPIN, "hint: a bounded number of turns, then the futex")                               \
    X(LOCK_WAIT, "acquire: pairs with LOCK_RELEASE; leaves 'someone may wait' behind")            \
    X(LOCK_RELEASE, "release: publishes the critical section to the next holder")                 \
    /* foreign.c */                                                                               \
    X(FOREIGN_PROBE, "relaxed: a call site is a plain number, nothing is read through it")        \
    X(FOREIGN_CLAIM, "relaxed: as FOREIGN_PROBE; the cell goes from 0 to a site once")            \
    X(FOREIGN_SPIN, "hint: a spurious failure of FOREIGN_CLAIM; the cell can change once only")   \
    X(FOREIGN_COUNT, "relaxed: a counter")                                                        \
    X(FOREIGN_REST, "relaxed: a counter")                                                         \
    X(FOREIGN_READ_SITE, "relaxed: report; may lag behind")                                       \
    X(FOREIGN_READ_COUNT, "relaxed: report; may lag behind")                                      \
    X(FOREIGN_READ_REST, "relaxed: report; may lag behind")

#define HAK_SITE_ENUM(name, why) SITE_##name,
enum site { HAK_SITES(HAK_SITE_ENUM) SITE_COUNT };
#undef HAK_SITE_ENUM

#endif

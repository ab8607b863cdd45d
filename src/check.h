// check.h: assertions, the whole difference between a checked and a release build.
//
// HAK_CHECKED (set by the Makefile, 0 or 1) appears here and nowhere else in src/. A condition has
// no side effects and is compiled in every build, so that it cannot rot; in release the branch is
// constant and leaves no code. Mistakes of the caller are not assertions: see fault.h.
#ifndef HAK_CHECK_H
#define HAK_CHECK_H

#include "base.h"

// Writes one line (condition, file, line) on standard error without allocating, then aborts.
_Noreturn COLD void hak_assert_failed(const char *condition, const char *file, int line);

#define HAK_ASSERT(condition)                                  \
    do {                                                       \
        if (HAK_CHECKED && unlikely(!(condition)))             \
            hak_assert_failed(#condition, __FILE__, __LINE__); \
    } while (0)

// As HAK_ASSERT, for conditions whose cost grows with a structure: never on a hit path.
#define HAK_AUDIT(condition) HAK_ASSERT(condition)

#endif

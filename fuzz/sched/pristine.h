// pristine.h: the allocator's variables as they were before its first use.
#ifndef SCHED_PRISTINE_H
#define SCHED_PRISTINE_H

#include <stdbool.h>

// Takes a copy at its first call, before the allocator was ever called; puts it back at each later
// one. The variables lie in the section hak_state of the program (rules.mk). False: no memory.
bool pristine_restore(void);

#endif

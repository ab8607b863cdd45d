// functions.h: every function of the surface, called once, its result judged.
//
// Three tables, so that the load `calls` covers what is exported: names that both builds of the
// loads have (functions.c), names of hakmem.h alone (functions_prefixed.c, flavours of ours), and
// names of the shared library alone (functions_standard.c, flavour peer under LD_PRELOAD).
// scripts/tidy compares them with src/libhakmem.map.
#ifndef STRESS_FUNCTIONS_H
#define STRESS_FUNCTIONS_H

#include "load.h"

struct function {
    const char *name; // as exported, without hak_; behind a colon, which of several calls
    void (*call)(void);
};

// Each ended by a name of NULL.
extern const struct function functions_common[];
extern const struct function functions_own[]; // of this build

// The block that a call frees, resizes or measures: 100 bytes of 0x77 that another call took; NULL
// where the function has to be the first of the process. A call that ends its life sets it to NULL.
extern unsigned char *older;
#define OLDER_BYTES 100u

// Ends the process with what went wrong, unless `condition`.
void function_expect(bool condition, const char *what);
// Uses fresh memory and frees it: the call after the first one must work too.
void function_use(void *p, size_t n);

#endif

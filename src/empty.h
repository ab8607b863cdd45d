// empty.h: blocks of size 0, each an address of its own that nobody can read or write.
//
// Any thread, lock-free. Hardened flavour only. None is left, or the system refused the addresses:
// NULL, and the request is served as one byte.
#ifndef HAK_EMPTY_H
#define HAK_EMPTY_H

#include <seam/atomics.h>

#include "config.h"

struct ON_SEALED_PAGE empty_range {
    char *base; // NULL: none
    size_t bytes;
};
extern struct empty_range hak_empty __attribute__((visibility("hidden")));

static inline bool hak_empty_has(const void *p)
{
    return (size_t)((uintptr_t)p - (uintptr_t)hak_empty.base) < hak_empty.bytes;
}

// `align`: a power of two.
void *hak_empty_alloc(size_t align);

// Frees p, for which hak_empty_has is true. False: no block that is handed out begins there.
bool hak_empty_free(const void *p);

// Whether p is a block that is handed out.
bool hak_empty_is_live(const void *p);

void hak_empty_start(void);

#endif

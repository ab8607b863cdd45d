// realloc.h: changing the size of a block, and asking for it.
//
// Any thread. These enter the fork gate themselves. On failure NULL with errno ENOMEM, and the
// block is as it was.
#ifndef HAK_REALLOC_H
#define HAK_REALLOC_H

#include "base.h"

// p != NULL, n != 0.
void *hak_realloc_block(void *p, size_t n) __attribute__((nonnull));

// Bytes that may be used at p != NULL.
size_t hak_usable_bytes(void *p);

#endif

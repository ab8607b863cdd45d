// meta.h: memory for the allocator's own growing structures: heaps and the arrays of magazines.
//
// It lies beside the arena's tables, apart from user memory, and is never given back to the system;
// freed pieces are reused for pieces of the same size. Slow paths only; takes a lock.
#ifndef HAK_META_H
#define HAK_META_H

#include "base.h"

// At least `bytes` of zeroed memory, aligned to META_CHUNK_MIN; NULL when exhausted.
void *hak_meta_alloc(size_t bytes);

// The same, of memory that no one had before: whoever comes to it early, without an order, finds
// zero or what was written since. At most META_CHUNK_MIN << 15 bytes.
void *hak_meta_alloc_untouched(size_t bytes);

// Takes back what hak_meta_alloc(bytes) returned.
void hak_meta_free(void *p, size_t bytes);

// Bytes committed so far.
size_t hak_meta_bytes(void);

// Forgets everything: called by hak_start before the first allocation of a new arena.
void hak_meta_start(void);

struct lock;
const struct lock *hak_meta_lock(void); // for statistics

#endif

// mapped.h: huge blocks in mappings of their own, for when the arena cannot hold them, and the
// registry that knows them.
//
// Any thread, inside of the fork gate. A pointer outside of the arena costs nothing to recognise as
// foreign while there is no such block.
#ifndef HAK_MAPPED_H
#define HAK_MAPPED_H

#include "base.h"

// NULL if the system or metadata memory refuses. Always zero.
void *hak_mapped_alloc(size_t n, size_t align);

// Bytes of the mapping that begins at p; 0 if p is none.
size_t hak_mapped_usable(const void *p);

// What hak_mapped_usable says of a block of n bytes: whole pages, or n if there are canaries.
size_t hak_mapped_usable_for(size_t n);

// Unmaps the block at p. False: p is none (or was freed by someone else just now).
bool hak_mapped_free(void *p);

// Whether p, which is no block, was one: it was freed, and nobody has the address now as far as the
// system knows. False also where that is too long ago.
bool hak_mapped_was_freed(const void *p);

// Makes the block n bytes long; it may move. NULL: unchanged.
void *hak_mapped_resize(void *p, size_t n);

// Whether there is, or was, a block at all.
bool hak_mapped_any(void);

uint64_t hak_mapped_count(void);
size_t hak_mapped_bytes(void);

bool hak_mapped_ok(void);

void hak_mapped_start(void);

struct lock;
const struct lock *hak_mapped_lock(void); // for statistics

#endif

// alloc.h: the slow half of the public surface: which tier serves a request, and what to do when
// memory is short. front.h is the fast half.
//
// Any thread. These enter the fork gate themselves. Functions that return NULL have set errno to
// ENOMEM; nothing else here touches errno.
#ifndef HAK_ALLOC_H
#define HAK_ALLOC_H

#include "base.h"

struct heap;

// A block of n bytes.
void *hak_alloc_slow(size_t n);

// The same for a hit path that found nothing where the table of h, the calling thread's word, says.
void *hak_alloc_missed(size_t n, struct heap *h, size_t offset);

// As these two, zeroed.
void *hak_alloc_zeroed(size_t n);
void *hak_alloc_zeroed_missed(size_t n, struct heap *h, size_t offset);

// A block of n bytes at a multiple of `align`, a power of two.
void *hak_alloc_aligned(size_t align, size_t n);

// Frees p: NULL, not of the arena, no size class, or the magazine is full (hardened: a block that
// has been checked). `call_site` is where the
// user called free.
void hak_free_slow(void *p, const void *call_site);

// Hardened flavour only. Frees p, whose tag is a class: checked, and by way of the quarantine.
void hak_free_hardened(void *p, unsigned tag);

// As hak_free_hardened; the block was asked for with n bytes. MITIGATE_CANARY only.
void hak_free_sized_hardened(void *p, unsigned tag, size_t n);

// Hardened flavour only. p, which was free, is handed out for a request of n bytes: returns it.
void *hak_take_hardened(void *p, unsigned class_index, size_t n);

// Enters the fork gate with the thread's heap and looks at the clock; NULL, and not inside, for
// want of metadata memory. Leaving trims the thread's cache and purges the pool if it is time.
struct heap *hak_alloc_enter(void);
void hak_alloc_leave(struct heap *h);

// Gives back all free memory but `pad` bytes. Returns whether any was given back.
bool hak_trim(size_t pad);

#endif

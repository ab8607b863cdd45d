// harden.h: what the hardened flavour does to each block of a class when it is handed out and when
// it comes back, and to pointers that are said to be one. Nothing in other flavours.
//
// Any thread, also outside of the fork gate: only the block, its live bit and immutable fields of
// its slab are used. A mistake that is found is a fault.
#ifndef HAK_HARDEN_H
#define HAK_HARDEN_H

#include "fault.h"
#include "slab.h"

// The block is handed out: its live bit is set; it must read as zero (`fresh`: it was not used
// since the kernel gave it, and is not looked at); the canary is written.
void hak_harden_take(void *p, unsigned class_index, bool fresh);

// The user gave the block back: it must be one that is handed out, its canary unharmed; it is
// zeroed.
void hak_harden_give(void *p, unsigned class_index);

// A block that is not handed out must read as zero, else the fault is told.
void hak_harden_check_zero(const void *p, unsigned class_index);

// The canary at `place`, behind the bytes of a block that the user may use: written, and checked
// when block p comes back.
void hak_canary_write(uint64_t *place);
void hak_canary_check(const uint64_t *place, const void *p, unsigned tag);

// `p`, whose tag is a class, must be a block that is handed out, else the fault is `otherwise`.
void hak_harden_check(const void *p, unsigned class_index, enum fault otherwise);

// Once at start: the secret of the canaries.
void hak_harden_start(void);

// At the end of start: what does not change any more becomes read-only.
void hak_harden_seal(void);

#endif

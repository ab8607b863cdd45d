// types.h: what units were last used for. In the hardened flavour a slab's units keep their class,
// so that a stale pointer to a block points to a block of the same class, at the same place, for
// good: units that were a slab serve again as one of the same class, from the same unit on and as
// long; those of large and huge blocks as such. Only when nothing else is left are others taken,
// and counted.
//
// The kinds of claimed units are their claimer's; of others they are read to choose, and the claim
// decides. A kind is a byte: KIND_FRESH, KIND_LARGE or a class; a slab's first has KIND_HEAD too.
#ifndef HAK_TYPES_H
#define HAK_TYPES_H

#include "arena.h"

#define KIND_FRESH 0u // or, in a request: any
#define KIND_LARGE TAG_LARGE
#define KIND_HEAD 0x80u

// Units of the SuperSlab (bits) where a run of `units` for `kind` may begin, all of them in
// `available`: first choice those that were one; second, fresh ones (for KIND_LARGE: both).
uint32_t hak_types_same(uint32_t superslab, uint32_t available, unsigned units, unsigned kind);
uint32_t hak_types_allowed(uint32_t superslab, unsigned kind);

// Whether large blocks may use all of these units.
bool hak_types_allow_large(uint32_t unit, size_t units);

// The claimed units are of the kind from now on.
void hak_types_set(uint32_t unit, size_t units, unsigned kind);

// A SuperSlab where a slab of the class was released: a good one to look at.
void hak_types_released(unsigned class_index, uint32_t superslab);
uint32_t hak_types_hint(unsigned class_index);

// Units that changed their kind because nothing else was left.
uint64_t hak_types_mixed(void);

#endif

// sized.h: whether a size that the user gives at free can be that of the block. Hardened flavour
// only.
#ifndef HAK_SIZED_H
#define HAK_SIZED_H

#include "base.h"

// p must be NULL or what an allocation of n bytes, at a multiple of `align`, can be; else a fault.
void hak_sized_check(void *p, size_t align, size_t n);

// A realloc could not be served with less and left a block that is larger than its size tells: from
// now on too small a size is no mistake.
void hak_sized_note_kept(void);

#endif

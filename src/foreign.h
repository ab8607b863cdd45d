// foreign.h: frees of pointers that are not ours: counted, with their call sites.
//
// A preloaded process can hold blocks that were made before us; they are ignored, never passed on.
// Any thread; lock-free; a bounded table of call sites (the rest is counted together).
#ifndef HAK_FOREIGN_H
#define HAK_FOREIGN_H

#include "base.h"

void hak_foreign_count(const void *call_site);
uint64_t hak_foreign_total(void);
// The `rank`-th busiest call site (0 = most): false beyond the last one. For reports.
bool hak_foreign_site(unsigned rank, const void **call_site, uint64_t *frees);

#endif

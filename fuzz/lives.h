// lives.h: nothing of the allocator carries a block from one life of its units into the next.
//
// A life of a slab's units begins and ends with their tags; each change of a tag is a scheduling
// point, so none is missed by who looks at every one.
#ifndef FUZZ_LIVES_H
#define FUZZ_LIVES_H

// Forgets the last execution.
void lives_reset(void);

// For each life that began or ended since the last call:
//   - its slab is whole: every block in the free bitmap, none marked as freed by another thread
//   - no list and no inbox has the record; who ends it holds its token
//   - no magazine has a block of its units. A batch that is being flushed may still stand in the
//     magazine of its heap; it is gone when that heap leaves its slow path
// As census.h: no other thread may run meanwhile, and what is allowed there is allowed here. NULL,
// or what is wrong (static).
const char *lives_check(void);

#endif

// stack.h (seam): the calling thread's stack, what lies at a code address, accesses that the
// processor refuses.
#ifndef HAK_STACK_H
#define HAK_STACK_H

#include "../base.h"

#define stack_start() hak_stack_start()
#define stack_take(frames, count_max) hak_stack_take(frames, count_max)
#define stack_module(pc, offset) hak_stack_module(pc, offset)
#define stack_watch_access() hak_stack_watch_access()

// Once, where the C library may allocate. Before it stack_take finds nothing.
void hak_stack_start(void);

// Return addresses of the callers, innermost first. Returns how many. Does not allocate.
uint32_t hak_stack_take(void **frames, uint32_t count_max);

// The file name of the program or library that the address lies in, and the offset there. NULL:
// unknown. Safe in a signal handler.
const char *hak_stack_module(const void *pc, size_t *offset);

// From now on hak_on_refused_access, which is not defined here, is called in a signal handler with
// the address of an access that the processor refused. If it returns, the access goes on to whoever
// handled that before, and no more are watched. (No pointer to it lies in writable memory.)
void hak_stack_watch_access(void);
void hak_on_refused_access(void *address);

#endif

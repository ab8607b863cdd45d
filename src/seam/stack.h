// stack.h (seam): the calling thread's stack, what lies at a code address, accesses that the
// processor refuses.
#ifndef HAK_STACK_H
#define HAK_STACK_H

#include "../base.h"

#define stack_start() hak_stack_start()
#define stack_take(frames, count_max) hak_stack_take(frames, count_max)
#define stack_module(pc, offset) hak_stack_module(pc, offset)
#define stack_own(frames, count) hak_stack_own(frames, count)
#define stack_object(pc, out) hak_stack_object(pc, out)
#define stack_program() hak_stack_program()
#define stack_watch_access() hak_stack_watch_access()

// Once, where the C library may allocate: what it needs for stack_take, which comes after it.
void hak_stack_start(void);

// Return addresses of the callers, innermost first. Returns how many. Does not allocate.
uint32_t hak_stack_take(void **frames, uint32_t count_max);

// The file name of the program or library that the address lies in, and the offset there. NULL:
// unknown. Safe in a signal handler.
const char *hak_stack_module(const void *pc, size_t *offset);

// How many of the innermost frames lie in this library, where that is not a part of the program.
uint32_t hak_stack_own(void *const *frames, uint32_t count);

// What the loader has mapped around a code address: addresses, and the offset in the file. `name`
// may lie in the structure.
#define STACK_BUILD_BYTES 20u
struct stack_object {
    uintptr_t start, limit;
    uint64_t offset;
    const char *name;
    uint32_t build_bytes; // of the identity that the linker gave it; 0: none
    uint8_t build[STACK_BUILD_BYTES];
    char program[256];
};

// False: nothing of the loader's is there. Safe in a signal handler.
bool hak_stack_object(const void *pc, struct stack_object *out);

// An address in the program itself.
uintptr_t hak_stack_program(void);

// From now on hak_on_refused_access, which is not defined here, is called in a signal handler with
// the address of an access that the processor refused. If it returns, the access goes on to whoever
// handled that before, and no more are watched. (No pointer to it lies in writable memory.)
void hak_stack_watch_access(void);
void hak_on_refused_access(void *address);

#endif

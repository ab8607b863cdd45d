// processor.h (seam): what some processors have and C has no word for.
//
// Vectors that are wider than those which every processor of the platform has: a function with
// WIDE_VECTORS may only be called where vectors_are_wide() has said true.
//
// touch_to_write: a write to the byte at p that changes nothing. A page that nobody has touched
// gets its memory by that at once; a read would map a page of zeroes first, and the next write
// fault again.
#ifndef HAK_PROCESSOR_H
#define HAK_PROCESSOR_H

#include "../base.h"

#if defined(__x86_64__)
#define WIDE_VECTORS __attribute__((target("avx2")))
static inline bool vectors_are_wide(void)
{
    __builtin_cpu_init(); // the library may be called before its own constructors
    return __builtin_cpu_supports("avx2") != 0;
}
static inline void touch_to_write(char *p)
{
    __asm__ volatile("orb $0, %0" : "+m"(*p));
}
#elif defined(__aarch64__)
#define WIDE_VECTORS
static inline void touch_to_write(char *p)
{
    char byte = *p;
    __asm__ volatile("" : "+r"(byte)); // a read and a write: the compiler drops them otherwise
    *p = byte;
}
static inline bool vectors_are_wide(void)
{
    return false;
}
#else
#error "processor.h: x86-64 and aarch64 are the processors this was written for"
#endif

#endif

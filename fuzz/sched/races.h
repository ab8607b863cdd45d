// races.h: what ThreadSanitizer is told, so that it judges plain accesses of logical threads.
//
// Fibers are threads to it, and switching between them orders nothing. Each release of the model
// has a token of its own; an acquire that reads that very store acquires that very token. So two
// plain accesses are a race for the tool exactly if the model's happens-before does not order them.
// Empty in other builds. Only src/*.c is instrumented.
#ifndef SCHED_RACES_H
#define SCHED_RACES_H

#include <stdbool.h>
#include <stddef.h>

#if defined(SCHED_TSAN)
#include <sanitizer/tsan_interface.h>
void __tsan_write_range(void *p, unsigned long bytes);
#define RACES_CHECKED 1
#define races_release(token) __tsan_release(token)
#define races_acquire(token) __tsan_acquire(token)
#define races_write(p, bytes) __tsan_write_range(p, bytes)
#else
#define RACES_CHECKED 0
#define races_release(token) ((void)(token))
#define races_acquire(token) ((void)(token))
#define races_write(p, bytes) ((void)(p), (void)(bytes))
#endif

// Whether the tool has reported anything since the last call.
bool races_reported(void);

#endif

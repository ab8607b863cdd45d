// races.h: what ThreadSanitizer is told, so that it judges plain accesses of logical threads.
//
// Fibers are threads to it, and switching between them orders nothing. Each release of the model
// has a token of its own; an acquire that reads that very store acquires that very token. So two
// plain accesses are a race for the tool exactly if the model's happens-before does not order them.
// What gives memory a content from outside (commit, decommit) counts as a plain write of all of it.
// Empty in other builds. Only src/*.c is instrumented.
#ifndef SCHED_RACES_H
#define SCHED_RACES_H

#include <stdbool.h>
#include <stddef.h>

#if defined(SCHED_TSAN)
#include <sanitizer/tsan_interface.h>
#include <sanitizer/tsan_interface_atomic.h>
void __tsan_read_range(void *p, unsigned long bytes);
void __tsan_write_range(void *p, unsigned long bytes);
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);
#define RACES_CHECKED 1
#define races_release(token) __tsan_release(token)
#define races_acquire(token) __tsan_acquire(token)
#define races_read(p, bytes) __tsan_read_range(p, bytes)
#define races_write(p, bytes) __tsan_write_range(p, bytes)
// An atomic access without order: it meets plain writes of the same cell, its set-up among them.
#define races_atomic(cell, bytes)                                                     \
    ((void)((bytes) == 1   ? (__tsan_atomic64)__tsan_atomic8_load((void *)(cell), 0)  \
            : (bytes) == 4 ? (__tsan_atomic64)__tsan_atomic32_load((void *)(cell), 0) \
                           : __tsan_atomic64_load((void *)(cell), 0)))
// What the harness does between these is not the thread's: looks at src/'s data by src/'s
// functions, calls of memmove on the virtual system's own tables.
#define races_ignore_begin() \
    (AnnotateIgnoreReadsBegin(__FILE__, __LINE__), AnnotateIgnoreWritesBegin(__FILE__, __LINE__))
#define races_ignore_end() \
    (AnnotateIgnoreWritesEnd(__FILE__, __LINE__), AnnotateIgnoreReadsEnd(__FILE__, __LINE__))
#else
#define RACES_CHECKED 0
#define races_release(token) ((void)(token))
#define races_acquire(token) ((void)(token))
#define races_read(p, bytes) ((void)(p), (void)(bytes))
#define races_write(p, bytes) ((void)(p), (void)(bytes))
#define races_atomic(cell, bytes) ((void)(cell), (void)(bytes))
#define races_ignore_begin() ((void)0)
#define races_ignore_end() ((void)0)
#endif

// Whether the tool has reported anything since the last call.
bool races_reported(void);

#endif

// recorder.h: writes what one process does into a recording of its own (recording.h).
//
// The order of records is a linear order that a replay can follow: an allocation is recorded
// after the allocator returned, a free before it is called, so whoever gets a recycled address
// records it later than the free. A realloc does both at once: the caller holds the lock over it.
//
// None of these functions allocates; all of them keep errno. Any thread may call them.
#ifndef TRACE_RECORDER_H
#define TRACE_RECORDER_H

#include <stddef.h>

#include "recording.h"

// Reads the environment (HAKMEM_RECORD: the prefix of file names). Called before anything else,
// while the process has one thread; further calls do nothing.
void recorder_init(void);

// A block of `n` bytes was allocated at `p`; NULL (the allocator failed) records nothing. `arg` is
// calloc's count or the alignment (a power of two), and is left out by kinds that have neither.
void recorder_allocated(enum record_kind kind, size_t n, size_t arg, const void *p);

// `p` will be freed or asked for its size: RECORD_FREE or RECORD_USABLE_SIZE. NULL does nothing.
void recorder_touches(enum record_kind kind, const void *p);

// Keeps every other thread from recording, so that a realloc and its record are one step.
void recorder_lock(void);
// Records that `old` became `p` of `n` bytes (`p` == NULL: `old` was freed), and unlocks.
void recorder_reallocated_unlock(const void *old, size_t n, const void *p);
// Unlocks without a record: the realloc failed.
void recorder_unlock(void);

void recorder_trimmed(void);
// The calling thread ends. If it calls again it counts as another one.
void recorder_thread_exit(void);
// The process ends in order: the file gets its final length and nothing more is recorded.
void recorder_close(void);

#endif

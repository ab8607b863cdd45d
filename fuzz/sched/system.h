// system.h: the virtual operating system of the sched build: memory, clock, failures, messages.
//
// All addresses lie in one region at a fixed place, so that they are the same in every process; the
// clock moves only when the harness says so; the n-th call fails when the harness says so.
#ifndef SCHED_SYSTEM_H
#define SCHED_SYSTEM_H

#include "scheduler.h"

#define SYSTEM_PAGE ((size_t)4096)
#define SYSTEM_BYTES_MAX ((size_t)1 << 30)

// What a call of the allocator does: contracts in src/seam/os.h.
void *system_reserve(const struct sched_site *at, size_t bytes, size_t align);
bool system_commit(const struct sched_site *at, void *p, size_t bytes);
bool system_decommit(const struct sched_site *at, void *p, size_t bytes);
bool system_release(const struct sched_site *at, void *p, size_t bytes);
bool system_move(const struct sched_site *at, void *to, void *from, size_t bytes);
void *system_extend(const struct sched_site *at, void *p, size_t old_bytes, size_t new_bytes);
bool system_protect_none(const struct sched_site *at, void *p, size_t bytes);

// ---- for the harness ----

// A fresh system: nothing reserved, clock and counters at their start. `space_bytes` is the address
// space that a process may map, at most SYSTEM_BYTES_MAX; `options` is the value of HAKMEM_OPTIONS
// (the string stays the caller's), or NULL. Maps the region at its first call, or exits.
void system_reset(size_t space_bytes, const char *options);

// Committed pages that read as zero and will not be written before the next reset, which then need
// not zero them. Looks at all of each page, or at its first line; false if that is not zero.
#define SYSTEM_LINE ((size_t)64)
bool system_keep_zero(void *p, size_t bytes, bool whole);

// True if every byte of the range may be accessed.
bool system_is_committed(const void *p, size_t bytes);

// What was written to standard error since the reset (cut at 4 KiB).
const char *system_messages(void);

// Of the calls that can fail, counted from now on from 1, those from `first` to first + count - 1
// fail; first == 0: none does.
void os_fault_arm(uint64_t first, uint64_t count);
uint64_t os_fault_failed(void); // calls made to fail so far
void os_fault_tick(uint64_t ms);
// While paused, calls succeed and are not counted: for what the harness itself asks.
void os_fault_pause(bool paused);

#endif

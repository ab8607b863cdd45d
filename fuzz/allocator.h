// allocator.h: the allocator under test as a table, so that the oracle can be tried on broken ones,
// and the harness's hand on the system below it: failures of its calls, and its clock.
#ifndef FUZZ_ALLOCATOR_H
#define FUZZ_ALLOCATOR_H

#include <hakmem.h>

struct allocator {
    void *(*malloc)(size_t);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    void *(*reallocarray)(void *, size_t, size_t);
    void *(*aligned_alloc)(size_t, size_t);
    void *(*memalign)(size_t, size_t);
    int (*posix_memalign)(void **, size_t, size_t);
    void *(*valloc)(size_t);
    void *(*pvalloc)(size_t);
    void (*free)(void *);
    void (*free_sized)(void *, size_t);
    void (*free_aligned_sized)(void *, size_t, size_t);
    size_t (*usable_size)(void *);
    int (*trim)(size_t);
    void (*flush)(void);
    bool (*audit)(struct hak_audit_report *);
    void (*get_stats)(struct hak_stats *);
    bool (*get_class_stats)(unsigned, struct hak_class_stats *);
    // Whether `usable` bytes at p lie in memory that the allocator answers for: its arena, or a
    // mapping of its own that is registered.
    bool (*covers)(const void *p, size_t usable);
    // Whether the block at p has a mapping of its own, outside of the arena.
    bool (*is_mapped)(const void *p);
    // The system below: see the functions of the same names.
    void (*fail_os)(uint64_t first, uint64_t count);
    void (*pause_os)(bool paused);
    uint64_t (*os_failed)(void);
    void (*tick)(uint64_t ms);
};

// hakmem's prefixed functions over the system of os_fault.c.
extern const struct allocator allocator_hakmem;

// os_fault.c. Of the calls to the system that can fail, counted from now on from 1, those from
// `first` to first + count - 1 fail; first == 0: none does.
void os_fault_arm(uint64_t first, uint64_t count);
// While paused, calls succeed and are not counted: for what the harness itself asks.
void os_fault_pause(bool paused);
// Calls made to fail so far.
uint64_t os_fault_failed(void);
// Moves the allocator's clock on: it stands still otherwise.
void os_fault_tick(uint64_t ms);
// Gives back all that is reserved and forgets counts, failures and clock; for world.h.
void os_fault_reset(void);

#endif

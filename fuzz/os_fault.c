// os_fault.c: stands between the allocator and its os.c: makes calls fail, and owns the clock.
//
// Linked with --wrap for each function below, so that the allocator's objects are those of any
// other build. The clock is virtual: purging depends on the input alone. Counters are atomic, since
// fuzz_threads has several threads; which thread's call is the n-th is then up to the machine.
#include "allocator.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static _Atomic uint64_t calls, first_failing, end_failing, failed;
static _Atomic bool pausing;
static _Atomic uint64_t clock_ms = 1000;

void os_fault_arm(uint64_t first, uint64_t count)
{
    uint64_t now = atomic_load(&calls);
    atomic_store(&end_failing, 0);
    atomic_store(&first_failing, now + first);
    atomic_store(&end_failing, first ? now + first + count : 0);
}

uint64_t os_fault_failed(void)
{
    return atomic_load(&failed);
}

void os_fault_tick(uint64_t ms)
{
    atomic_fetch_add(&clock_ms, ms);
}

void os_fault_pause(bool paused)
{
    atomic_store(&pausing, paused);
}

static bool fails(void)
{
    if (atomic_load(&pausing))
        return false;
    uint64_t call = atomic_fetch_add(&calls, 1) + 1;
    if (call < atomic_load(&first_failing) || call >= atomic_load(&end_failing))
        return false;
    atomic_fetch_add(&failed, 1);
    return true;
}

// What os.h demands of every caller: whole pages, and at least one.
static void check_range(const char *call, const void *p, size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (bytes != 0 && bytes % page == 0 && (uintptr_t)p % page == 0)
        return;
    fprintf(stderr, "os_fault: found: %s of %zu bytes at %p: not whole pages\n", call, bytes, p);
    abort();
}

#define WRAPPED(type, name, parameters, arguments, at, length, failure) \
    type __real_##name parameters;                                      \
    type __wrap_##name parameters;                                      \
    type __wrap_##name parameters                                       \
    {                                                                   \
        check_range(#name, at, length);                                 \
        return fails() ? (failure) : __real_##name arguments;           \
    }

WRAPPED(void *, hak_os_reserve, (size_t bytes, size_t align), (bytes, align), NULL, bytes, NULL)
WRAPPED(bool, hak_os_commit, (void *p, size_t bytes), (p, bytes), p, bytes, false)
WRAPPED(bool, hak_os_decommit, (void *p, size_t bytes), (p, bytes), p, bytes, false)
WRAPPED(bool, hak_os_release, (void *p, size_t bytes), (p, bytes), p, bytes, false)
WRAPPED(bool, hak_os_move, (void *to, void *from, size_t bytes), (to, from, bytes), to, bytes,
        false)
WRAPPED(void *, hak_os_extend, (void *p, size_t from, size_t to), (p, from, to), p, to, NULL)
WRAPPED(bool, hak_os_protect_none, (void *p, size_t bytes), (p, bytes), p, bytes, false)

uint64_t __wrap_hak_os_clock_ms(void);
uint64_t __wrap_hak_os_clock_ms(void)
{
    return atomic_load(&clock_ms);
}

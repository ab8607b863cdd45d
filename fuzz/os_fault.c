// os_fault.c: stands between the allocator and its os.c: makes calls fail, and owns the clock.
//
// Linked with --wrap for each function below, so that the allocator's objects are those of any
// other build. The clock is virtual: purging depends on the input alone. Counters are atomic, since
// fuzz_threads has several threads; which thread's call is the n-th is then up to the machine.
//
// What is reserved is written down: only whole reservations may be given back, and a reset gives
// all of them back. From the first reset on each reservation is moved to a place that depends on
// those before it alone, because addresses decide where things lie in hash tables. Hooks of thread
// ends and forks are registered once in the life of the process, whatever is reset.
#define _GNU_SOURCE 1
#include "allocator.h"

#include <seam/sanitizer.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

static _Atomic uint64_t calls, first_failing, end_failing, failed;
static _Atomic bool pausing;
#define CLOCK_START_MS 1000u
static _Atomic uint64_t clock_ms = CLOCK_START_MS;

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

bool __real_hak_os_commit(void *p, size_t bytes);
bool __wrap_hak_os_commit(void *p, size_t bytes);
bool __wrap_hak_os_commit(void *p, size_t bytes)
{
    check_range("hak_os_commit", p, bytes);
    if (fails())
        return false;
#if defined(HAK_ASAN) // whose marks may outlive what lay here before a reset (LLVM 14)
    sanitize_disown(p, bytes);
#endif
    return __real_hak_os_commit(p, bytes);
}

WRAPPED(bool, hak_os_decommit, (void *p, size_t bytes), (p, bytes), p, bytes, false)
WRAPPED(bool, hak_os_move, (void *to, void *from, size_t bytes), (to, from, bytes), to, bytes,
        false)
WRAPPED(bool, hak_os_protect_none, (void *p, size_t bytes), (p, bytes), p, bytes, false)
WRAPPED(bool, hak_os_hide, (void *p, size_t bytes), (p, bytes), p, bytes, false)
WRAPPED(void *, hak_os_stow, (void *p, size_t bytes), (p, bytes), p, bytes, NULL)
bool __real_hak_os_unstow_none(void *stowed, size_t bytes);
WRAPPED(bool, hak_os_unstow, (void *p, void *stowed, size_t bytes), (p, stowed, bytes), p, bytes,
        __real_hak_os_unstow_none(stowed, bytes) && false)
WRAPPED(bool, hak_os_unstow_none, (void *stowed, size_t bytes), (stowed, bytes), stowed, bytes,
        false)

uint64_t __wrap_hak_os_clock_ms(void);
uint64_t __wrap_hak_os_clock_ms(void)
{
    return atomic_load(&clock_ms);
}

// ---- reservations ----

#define RESERVATIONS_MAX 4096u

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct reservation {
    void *p;
    size_t bytes;
} reservations[RESERVATIONS_MAX];
static uint32_t reserved;

static _Noreturn void wrong(const char *what, const void *p, size_t bytes)
{
    fprintf(stderr, "os_fault: found: %s: %zu bytes at %p\n", what, bytes, p);
    abort();
}

// Far from where the kernel and AddressSanitizer put things.
#define PLACE_FIRST ((uintptr_t)0x700000000000)
#define PLACE_GAP ((size_t)65536) // at least a page, stays unmapped
static uintptr_t place;           // the next one; 0: where the kernel puts it

// Moves a fresh reservation. Where these addresses are taken or do not exist it stays.
static void *put_in_place(void *p, size_t bytes, size_t align)
{
    if (place == 0 || p == NULL)
        return p;
    void *to = (void *)((place + align - 1) & ~(uintptr_t)(align - 1));
    void *held = mmap(to, bytes, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (held == MAP_FAILED)
        return p;
    if (held != to || mremap(p, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to) {
        munmap(held, bytes);
        return p;
    }
    place = (uintptr_t)to + bytes + PLACE_GAP;
    return to;
}

// Caller holds the lock, as for the next one.
static void enter(void *p, size_t bytes)
{
    if (reserved == RESERVATIONS_MAX)
        wrong("too many reservations", p, bytes);
    reservations[reserved++] = (struct reservation){ p, bytes };
}

static struct reservation *find(const char *call, const void *p, size_t bytes)
{
    for (uint32_t i = reserved; i-- != 0;)
        if (reservations[i].p == p && reservations[i].bytes == bytes)
            return &reservations[i];
    wrong(call, p, bytes);
}

void *__real_hak_os_reserve(size_t bytes, size_t align);
void *__wrap_hak_os_reserve(size_t bytes, size_t align);
void *__wrap_hak_os_reserve(size_t bytes, size_t align)
{
    check_range("hak_os_reserve", NULL, bytes);
    if (fails())
        return NULL;
    pthread_mutex_lock(&lock);
    void *p = put_in_place(__real_hak_os_reserve(bytes, align), bytes, align);
    if (p != NULL)
        enter(p, bytes);
    pthread_mutex_unlock(&lock);
    return p;
}

bool __real_hak_os_release(void *p, size_t bytes);
bool __wrap_hak_os_release(void *p, size_t bytes);
bool __wrap_hak_os_release(void *p, size_t bytes)
{
    check_range("hak_os_release", p, bytes);
    if (fails())
        return false;
    pthread_mutex_lock(&lock);
    struct reservation *r = find("release of what is no reservation", p, bytes);
    bool done = __real_hak_os_release(p, bytes);
    if (done)
        *r = reservations[--reserved];
    pthread_mutex_unlock(&lock);
    return done;
}

void *__real_hak_os_extend(void *p, size_t from, size_t to);
void *__wrap_hak_os_extend(void *p, size_t from, size_t to);
void *__wrap_hak_os_extend(void *p, size_t from, size_t to)
{
    check_range("hak_os_extend", p, to);
    if (fails())
        return NULL;
    pthread_mutex_lock(&lock);
    struct reservation *r = find("extension of what is no reservation", p, from);
    void *moved = __real_hak_os_extend(p, from, to);
    if (moved != NULL && moved != p)
        moved = put_in_place(moved, to, 1);
    else if (moved != NULL && place != 0 && place < (uintptr_t)p + to + PLACE_GAP)
        place = (uintptr_t)p + to + PLACE_GAP; // it grew over the gap
    if (moved != NULL)
        *r = (struct reservation){ moved, to };
    pthread_mutex_unlock(&lock);
    return moved;
}

void os_fault_reset(void)
{
    while (reserved != 0) {
        struct reservation r = reservations[--reserved];
        if (!__real_hak_os_release(r.p, r.bytes))
            wrong("cannot be given back", r.p, r.bytes);
    }
    place = PLACE_FIRST;
    atomic_store(&calls, 0);
    atomic_store(&failed, 0);
    atomic_store(&first_failing, 0);
    atomic_store(&end_failing, 0);
    atomic_store(&pausing, false);
    atomic_store(&clock_ms, CLOCK_START_MS);
}

// ---- hooks ----

void __real_hak_thread_start(void (*on_exit)(void), void (*prepare)(void), void (*parent)(void),
                             void (*child)(void));
void __wrap_hak_thread_start(void (*on_exit)(void), void (*prepare)(void), void (*parent)(void),
                             void (*child)(void));
void __wrap_hak_thread_start(void (*on_exit)(void), void (*prepare)(void), void (*parent)(void),
                             void (*child)(void))
{
    static atomic_flag started = ATOMIC_FLAG_INIT;
    if (!atomic_flag_test_and_set(&started))
        __real_hak_thread_start(on_exit, prepare, parent, child);
}

// interpose.c: the C names of libhakmem-record.so, which is preloaded into a program.
//
// Each name calls the next allocator in the search order and tells the recorder. The first call
// of a process finds that allocator with dlsym, which may itself allocate: such blocks come from a
// small static reserve, are never recorded, and their free does nothing.
//
// Failure: a program whose allocator lacks one of the names ends with a message.
#define _GNU_SOURCE
#include "interpose.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "recorder.h"

#define RESERVE_BYTES ((size_t)64 << 10)
#define EXPORT __attribute__((visibility("default")))

__thread struct nested nested;
static struct next_allocator next;
static bool found;
static __thread __attribute__((tls_model("initial-exec"))) bool finding;

static _Alignas(16) char reserve[RESERVE_BYTES];
static size_t reserve_used;

_Noreturn static void give_up(const char *what, const char *which)
{
    struct {
        const char *text;
    } parts[] = { { "hakmem-record: " }, { what }, { which }, { "\n" } };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (write(STDERR_FILENO, parts[i].text, strlen(parts[i].text)) < 0)
            break;
    abort();
}

// One thread at a time gets here: the first call comes before there is a second thread.
static void *reserve_take(size_t n)
{
    size_t bytes = (n + 15) & ~(size_t)15;
    if (bytes < n || bytes > RESERVE_BYTES - reserve_used)
        give_up("no reserve left while looking for the allocator", "");
    void *p = reserve + reserve_used;
    reserve_used += bytes;
    return p;
}

static bool in_reserve(const void *p)
{
    return (uintptr_t)p - (uintptr_t)reserve < RESERVE_BYTES;
}

static void *find(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);
    if (!function)
        give_up("no allocator below defines ", name);
    return function;
}

static void find_next(void)
{
    finding = true;
    next.malloc = find("malloc");
    next.calloc = find("calloc");
    next.realloc = find("realloc");
    next.free = find("free");
    next.posix_memalign = find("posix_memalign");
    next.aligned_alloc = find("aligned_alloc");
    next.memalign = find("memalign");
    next.valloc = find("valloc");
    next.pvalloc = find("pvalloc");
    next.usable_size = find("malloc_usable_size");
    next.trim = find("malloc_trim");
    recorder_init();
    found = true;
    finding = false;
}

__attribute__((constructor)) static void start(void)
{
    if (!found)
        find_next();
}

__attribute__((destructor)) static void end(void)
{
    recorder_close();
}

// Whether the call must be served from the reserve: it comes from inside of find_next.
static inline bool starting(void)
{
    if (__builtin_expect(found, 1))
        return false;
    if (finding)
        return true;
    find_next();
    return false;
}

static void *allocated(enum record_kind kind, size_t n, size_t arg, void *p)
{
    nested.allocated = p;
    recorder_allocated(kind, n, arg, p);
    return p;
}

EXPORT void *malloc(size_t n)
{
    if (starting())
        return reserve_take(n);
    return allocated(RECORD_MALLOC, n, 0, next.malloc(n));
}

EXPORT void *calloc(size_t count, size_t size)
{
    if (starting()) // never handed out before, so it is zero
        return reserve_take(count * size);
    return allocated(RECORD_CALLOC, size, count, next.calloc(count, size));
}

// The lock is held over the real call: other threads' records of what it frees come later.
static void *reallocate(void *p, size_t n)
{
    recorder_lock();
    void *q = next.realloc(p, n);
    if (q || n == 0) {
        nested.allocated = q;
        recorder_reallocated_unlock(p, n, q);
    } else {
        recorder_unlock();
    }
    return q;
}

EXPORT void *realloc(void *p, size_t n)
{
    if (starting() || in_reserve(p)) {
        void *q = malloc(n);
        if (q && p) {
            size_t rest = RESERVE_BYTES - (size_t)((char *)p - reserve);
            memcpy(q, p, n < rest ? n : rest);
        }
        return q;
    }
    if (!p)
        return allocated(RECORD_MALLOC, n, 0, next.realloc(NULL, n));
    return reallocate(p, n);
}

EXPORT void *reallocarray(void *p, size_t count, size_t size)
{
    size_t n;
    if (__builtin_mul_overflow(count, size, &n)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(p, n);
}

EXPORT void free(void *p)
{
    if (starting() || in_reserve(p))
        return;
    if (p && p == nested.deleting)
        nested.deleting = NULL;
    else
        recorder_touches(RECORD_FREE, p);
    next.free(p);
}

// The names of C23. What is below may lack them, and free does the same.
EXPORT void free_sized(void *p, size_t n);
EXPORT void free_aligned_sized(void *p, size_t align, size_t n);

EXPORT void free_sized(void *p, size_t n)
{
    (void)n;
    free(p);
}

EXPORT void free_aligned_sized(void *p, size_t align, size_t n)
{
    (void)align, (void)n;
    free(p);
}

// The alignment as it is recorded: memalign takes any number and rounds it up.
static size_t power_of_two(size_t align)
{
    size_t power = 1;
    while (power < align)
        power *= 2;
    return power;
}

EXPORT int posix_memalign(void **out, size_t align, size_t n)
{
    if (starting())
        give_up("aligned allocation while looking for the allocator", "");
    void *p = NULL;
    int error = next.posix_memalign(&p, align, n);
    if (error)
        return error;
    *out = allocated(RECORD_POSIX_MEMALIGN, n, align, p);
    return 0;
}

EXPORT void *aligned_alloc(size_t align, size_t n)
{
    if (starting())
        give_up("aligned allocation while looking for the allocator", "");
    void *p = next.aligned_alloc(align, n);
    return p ? allocated(RECORD_ALIGNED_ALLOC, n, power_of_two(align), p) : NULL;
}

EXPORT void *memalign(size_t align, size_t n)
{
    if (starting())
        give_up("aligned allocation while looking for the allocator", "");
    void *p = next.memalign(align, n);
    return p ? allocated(RECORD_MEMALIGN, n, power_of_two(align), p) : NULL;
}

EXPORT void *valloc(size_t n)
{
    if (starting())
        give_up("aligned allocation while looking for the allocator", "");
    return allocated(RECORD_VALLOC, n, 0, next.valloc(n));
}

EXPORT void *pvalloc(size_t n)
{
    if (starting())
        give_up("aligned allocation while looking for the allocator", "");
    return allocated(RECORD_PVALLOC, n, 0, next.pvalloc(n));
}

EXPORT size_t malloc_usable_size(void *p)
{
    if (starting() || in_reserve(p))
        return 0;
    recorder_touches(RECORD_USABLE_SIZE, p);
    return next.usable_size(p);
}

EXPORT int malloc_trim(size_t pad)
{
    if (starting())
        return 0;
    recorder_trimmed();
    return next.trim(pad);
}

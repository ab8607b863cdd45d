// interpose_cxx.c: operators new and delete of libhakmem-record.so, under their mangled names, so
// that no C++ runtime is needed.
//
// The next operator does the work, its new-handler and its exceptions included: a std::bad_alloc
// passes through these frames (compile with -fexceptions), which hold nothing to clean up. If that
// operator calls malloc or free, which record too, `nested` keeps a block from being recorded
// twice. A program that calls an operator nobody defines ends with a message.
#define _GNU_SOURCE
#include "interpose.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "recorder.h"

#define EXPORT __attribute__((visibility("default")))

typedef const void *nothrow_tag;

// A C++ runtime that came with a plugin is not in the search order of the program.
static void *find_in_runtime(const char *name)
{
    static const char *const runtimes[] = { "libstdc++.so.6", "libc++.so.1", "libc++abi.so.1" };
    void *function = NULL;
    for (size_t i = 0; !function && i < sizeof runtimes / sizeof runtimes[0]; i++) {
        void *runtime = dlopen(runtimes[i], RTLD_LAZY | RTLD_NOLOAD);
        if (!runtime)
            continue;
        function = dlsym(runtime, name);
        dlclose(runtime); // it stays loaded: we are being called by somebody who needs it
    }
    return function;
}

static void *find(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);
    if (!function)
        function = find_in_runtime(name);
    if (!function) {
        static const char text[] = "hakmem-record: no library below defines ";
        if (write(STDERR_FILENO, text, sizeof text - 1) < 0 ||
            write(STDERR_FILENO, name, strlen(name)) < 0 || write(STDERR_FILENO, "\n", 1) < 0)
            abort();
        abort();
    }
    return function;
}

static void *record_new(size_t n, size_t align, void *p)
{
    if (p && nested.allocated != p)
        recorder_allocated(align ? RECORD_ALIGNED_ALLOC : RECORD_MALLOC, n, align, p);
    return p;
}

static void record_delete(void *p)
{
    recorder_touches(RECORD_FREE, p);
    nested.deleting = p;
}

// $1 mangled name, then the parameters behind the size and how they are passed on. Looking the next
// one up twice in two threads gives the same address.
#define NEW(name, align, parameters, arguments)                        \
    EXPORT void *name parameters;                                      \
    EXPORT void *name parameters                                       \
    {                                                                  \
        static void *(*operator_below)parameters;                      \
        void *(*call)parameters;                                       \
        call = __atomic_load_n(&operator_below, __ATOMIC_RELAXED);     \
        if (!call) {                                                   \
            call = (void *(*)parameters)find(#name);                   \
            __atomic_store_n(&operator_below, call, __ATOMIC_RELAXED); \
        }                                                              \
        nested.allocated = NULL;                                       \
        return record_new(n, align, call arguments);                   \
    }

#define DELETE(name, parameters, arguments)                            \
    EXPORT void name parameters;                                       \
    EXPORT void name parameters                                        \
    {                                                                  \
        static void(*operator_below) parameters;                       \
        void(*call) parameters;                                        \
        call = __atomic_load_n(&operator_below, __ATOMIC_RELAXED);     \
        if (!call) {                                                   \
            call = (void(*) parameters)find(#name);                    \
            __atomic_store_n(&operator_below, call, __ATOMIC_RELAXED); \
        }                                                              \
        record_delete(p);                                              \
        call arguments;                                                \
        nested.deleting = NULL;                                        \
    }

NEW(_Znwm, 0, (size_t n), (n))
NEW(_Znam, 0, (size_t n), (n))
NEW(_ZnwmRKSt9nothrow_t, 0, (size_t n, nothrow_tag tag), (n, tag))
NEW(_ZnamRKSt9nothrow_t, 0, (size_t n, nothrow_tag tag), (n, tag))
NEW(_ZnwmSt11align_val_t, align, (size_t n, size_t align), (n, align))
NEW(_ZnamSt11align_val_t, align, (size_t n, size_t align), (n, align))
NEW(_ZnwmSt11align_val_tRKSt9nothrow_t, align, (size_t n, size_t align, nothrow_tag tag),
    (n, align, tag))
NEW(_ZnamSt11align_val_tRKSt9nothrow_t, align, (size_t n, size_t align, nothrow_tag tag),
    (n, align, tag))

DELETE(_ZdlPv, (void *p), (p))
DELETE(_ZdaPv, (void *p), (p))
DELETE(_ZdlPvm, (void *p, size_t n), (p, n))
DELETE(_ZdaPvm, (void *p, size_t n), (p, n))
DELETE(_ZdlPvRKSt9nothrow_t, (void *p, nothrow_tag tag), (p, tag))
DELETE(_ZdaPvRKSt9nothrow_t, (void *p, nothrow_tag tag), (p, tag))
DELETE(_ZdlPvSt11align_val_t, (void *p, size_t align), (p, align))
DELETE(_ZdaPvSt11align_val_t, (void *p, size_t align), (p, align))
DELETE(_ZdlPvmSt11align_val_t, (void *p, size_t n, size_t align), (p, n, align))
DELETE(_ZdaPvmSt11align_val_t, (void *p, size_t n, size_t align), (p, n, align))
DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t, (void *p, size_t align, nothrow_tag tag),
       (p, align, tag))
DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t, (void *p, size_t align, nothrow_tag tag),
       (p, align, tag))

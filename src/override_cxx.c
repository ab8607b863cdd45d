// override_cxx.c: C++ operators new and delete, in C, under their mangled names (Itanium C++ ABI,
// 64-bit size_t). The nothrow forms of new are in override_nothrow.cc: they must catch.
//
//   _Znwm      new(size_t)                 _ZdlPv   delete(void *)
//   _Znam      new[](size_t)               _ZdaPv   delete[](void *)
//   ...St11align_val_t                     with an alignment
//   ...RKSt9nothrow_t                      the nothrow form
//   _ZdlPvm, _ZdaPvm                       with the size
//
// Who calls whom is the standard's: the array, sized and nothrow forms call the plain form, by its
// public name, so that a program which replaces only the plain form gets all of them. Definitions
// are weak: in a static link the program's own replace ours without a clash.
//
// The C++ runtime is reached through weak references only, so a C program loads none. A runtime
// that came later, by dlopen, is looked for when an allocation fails. Failure: the new-handler is
// called until memory is found or it is null, then std::bad_alloc is thrown; without any runtime
// there is nobody to throw to, and the process aborts with a line on standard error. Weak
// references draw nothing out of libstdc++.a: a fully static program that wants to catch
// std::bad_alloc is linked with -Wl,-u,_ZSt17__throw_bad_allocv -Wl,-u,_ZSt15get_new_handlerv.
// Compiled with -fexceptions: a handler's exception and bad_alloc pass through these frames.
#define _GNU_SOURCE
#include <dlfcn.h>

#include "front.h"
#include "hakmem.h"
#include "watched.h"
#include <seam/os.h>

#define OPERATOR HAK_API __attribute__((weak))

// A name for this library's own definition, whatever the program's is.
#define OWN(name, operator, type) \
    extern __typeof__(type) name __attribute__((alias(#operator), visibility("hidden")))

typedef void (*new_handler)(void);
typedef new_handler (*get_new_handler)(void);
typedef void (*throw_bad_alloc)(void);
typedef void *(*dlopen_function)(const char *file, int mode);

__attribute__((weak)) extern new_handler _ZSt15get_new_handlerv(void);
__attribute__((weak)) extern void _ZSt17__throw_bad_allocv(void);
// Weak, because a static link shall not draw in the loader.
__attribute__((weak)) extern void *dlsym(void *restrict handle, const char *restrict name);

OPERATOR void *_Znwm(size_t n);
OPERATOR void *_Znam(size_t n);
OPERATOR void *_ZnwmSt11align_val_t(size_t n, size_t align);
OPERATOR void *_ZnamSt11align_val_t(size_t n, size_t align);
OPERATOR void _ZdlPv(void *p);
OPERATOR void _ZdaPv(void *p);
OPERATOR void _ZdlPvm(void *p, size_t n);
OPERATOR void _ZdaPvm(void *p, size_t n);
OPERATOR void _ZdlPvRKSt9nothrow_t(void *p, const void *nothrow);
OPERATOR void _ZdaPvRKSt9nothrow_t(void *p, const void *nothrow);
OPERATOR void _ZdlPvSt11align_val_t(void *p, size_t align);
OPERATOR void _ZdaPvSt11align_val_t(void *p, size_t align);
OPERATOR void _ZdlPvmSt11align_val_t(void *p, size_t n, size_t align);
OPERATOR void _ZdaPvmSt11align_val_t(void *p, size_t n, size_t align);
OPERATOR void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align, const void *nothrow);
OPERATOR void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align, const void *nothrow);

// ---- failure ----

// A function of a C++ runtime that was loaded after us, and out of the global scope. NULL if none.
static void *runtime_function(const char *name)
{
    static const char *const runtimes[] = { "libstdc++.so.6", "libc++.so.1" };
    // By name, because the linker warns of each static program that mentions dlopen.
    dlopen_function open_library = dlsym != NULL ? (dlopen_function)dlsym(RTLD_DEFAULT, "dlopen")
                                                 : NULL;
    if (open_library == NULL)
        return NULL;
    for (size_t i = 0; i < sizeof runtimes / sizeof *runtimes; i++) {
        // RTLD_NOLOAD only finds what is loaded; the reference it takes keeps it loaded.
        void *runtime = open_library(runtimes[i], RTLD_LAZY | RTLD_NOLOAD);
        void *function = runtime != NULL ? dlsym(runtime, name) : NULL;
        if (function != NULL)
            return function;
    }
    return NULL;
}

static _Noreturn COLD void throw_or_abort(void)
{
    throw_bad_alloc throw_it = _ZSt17__throw_bad_allocv;
    if (throw_it == NULL)
        throw_it = (throw_bad_alloc)runtime_function("_ZSt17__throw_bad_allocv");
    if (throw_it != NULL)
        throw_it();
    static const char text[] =
        "hakmem: operator new failed, and no C++ runtime is there to throw std::bad_alloc\n";
    hak_os_write_error(text, sizeof text - 1);
    hak_os_abort();
}

// Calls the new-handler, which may have made room, or throws if there is none.
static COLD void call_handler_or_throw(void)
{
    get_new_handler get_handler = _ZSt15get_new_handlerv;
    if (get_handler == NULL)
        get_handler = (get_new_handler)runtime_function("_ZSt15get_new_handlerv");
    new_handler handler = get_handler != NULL ? get_handler() : NULL;
    if (handler == NULL)
        throw_or_abort();
    handler();
}

// ---- new ----

// Where a miss of operator new goes.
static NOINLINE void *new_slow(size_t n)
{
    for (;;) {
        void *p = hak_alloc_slow(n);
        if (likely(p != NULL))
            return p;
        call_handler_or_throw();
    }
}

static NOINLINE void *new_missed(size_t n, struct heap *h, size_t offset)
{
    void *p = hak_heap_is_magazine(offset) ? NULL : hak_watched_decoy(h, offset, n);
    return likely(p != NULL) ? p : new_slow(n);
}

OPERATOR void *_Znwm(size_t n)
{
    return front_malloc_or(n, new_slow, new_missed);
}

OPERATOR void *_Znam(size_t n)
{
    return _Znwm(n);
}

// An alignment that is no power of two is a failure that no handler can mend.
OPERATOR void *_ZnwmSt11align_val_t(size_t n, size_t align)
{
    if (unlikely(!is_power_of_two(align)))
        throw_or_abort();
    for (;;) {
        void *p = hak_memalign(align, n);
        if (likely(p != NULL))
            return p;
        call_handler_or_throw();
    }
}

OPERATOR void *_ZnamSt11align_val_t(size_t n, size_t align)
{
    return _ZnwmSt11align_val_t(n, align);
}

// ---- delete ----

OPERATOR void _ZdlPv(void *p)
{
    front_free(p);
}

OPERATOR void _ZdlPvSt11align_val_t(void *p, size_t align)
{
    (void)align;
    front_free(p);
}

OPERATOR void _ZdaPv(void *p)
{
    _ZdlPv(p);
}

OPERATOR void _ZdaPvSt11align_val_t(void *p, size_t align)
{
    _ZdlPvSt11align_val_t(p, align);
}

// ---- delete with the size: hardened, it must be what new was asked for ----
//
// Only where the program has replaced none of the operators that such a block passes through: then
// what they do with sizes is its own matter, and the plain form gets the pointer.

OWN(hak_own_new, _Znwm, void *(size_t));
OWN(hak_own_new_array, _Znam, void *(size_t));
OWN(hak_own_new_aligned, _ZnwmSt11align_val_t, void *(size_t, size_t));
OWN(hak_own_new_array_aligned, _ZnamSt11align_val_t, void *(size_t, size_t));
OWN(hak_own_delete, _ZdlPv, void(void *));
OWN(hak_own_delete_array, _ZdaPv, void(void *));
OWN(hak_own_delete_aligned, _ZdlPvSt11align_val_t, void(void *, size_t));
OWN(hak_own_delete_array_aligned, _ZdaPvSt11align_val_t, void(void *, size_t));

static inline bool are_own(void)
{
    return _Znwm == hak_own_new && _ZdlPv == hak_own_delete;
}

static inline bool are_own_array(void)
{
    return are_own() && _Znam == hak_own_new_array && _ZdaPv == hak_own_delete_array;
}

static inline bool are_own_aligned(void)
{
    return _ZnwmSt11align_val_t == hak_own_new_aligned &&
           _ZdlPvSt11align_val_t == hak_own_delete_aligned;
}

static inline bool are_own_array_aligned(void)
{
    return are_own_aligned() && _ZnamSt11align_val_t == hak_own_new_array_aligned &&
           _ZdaPvSt11align_val_t == hak_own_delete_array_aligned;
}

OPERATOR void _ZdlPvm(void *p, size_t n)
{
    if (MITIGATE_POINTERS && likely(are_own()))
        front_free_sized(p, 1, n);
    else
        _ZdlPv(p);
}

OPERATOR void _ZdaPvm(void *p, size_t n)
{
    if (MITIGATE_POINTERS && likely(are_own_array()))
        front_free_sized(p, 1, n);
    else
        _ZdaPv(p);
}

OPERATOR void _ZdlPvmSt11align_val_t(void *p, size_t n, size_t align)
{
    if (MITIGATE_POINTERS && likely(are_own_aligned()))
        front_free_sized(p, align, n);
    else
        _ZdlPvSt11align_val_t(p, align);
}

OPERATOR void _ZdaPvmSt11align_val_t(void *p, size_t n, size_t align)
{
    if (MITIGATE_POINTERS && likely(are_own_array_aligned()))
        front_free_sized(p, align, n);
    else
        _ZdaPvSt11align_val_t(p, align);
}

OPERATOR void _ZdlPvRKSt9nothrow_t(void *p, const void *nothrow)
{
    (void)nothrow;
    _ZdlPv(p);
}

OPERATOR void _ZdaPvRKSt9nothrow_t(void *p, const void *nothrow)
{
    (void)nothrow;
    _ZdaPv(p);
}

OPERATOR void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align, const void *nothrow)
{
    (void)nothrow;
    _ZdlPvSt11align_val_t(p, align);
}

OPERATOR void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align, const void *nothrow)
{
    (void)nothrow;
    _ZdaPvSt11align_val_t(p, align);
}

// functions_standard.c: what the shared library has and the prefixed archive has not: C23's free,
// glibc's reports, and the operators of C++ by their mangled names.
//
// All are weak, so that the program runs, and can be compared, where they are missing. With a
// library of ours preloaded each must be there.
#define _GNU_SOURCE
#include "functions.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WEAK __attribute__((weak))
#define BYTES ((size_t)100)
#define ALIGN ((size_t)64)

extern __typeof__(hak_version) hak_version WEAK;
WEAK void free_sized(void *p, size_t n);
WEAK void free_aligned_sized(void *p, size_t align, size_t n);

// Whether the allocator under test is one of ours, which must have them all.
static bool has(bool defined)
{
    function_expect(defined || hak_version == NULL, "the library has no such function");
    return defined;
}

static void call_free_sized(void)
{
    if (has(free_sized != NULL))
        free_sized(older, OLDER_BYTES);
    else
        free(older);
    older = NULL;
}

static void call_free_aligned_sized(void)
{
    if (has(free_aligned_sized != NULL))
        free_aligned_sized(older, 16, OLDER_BYTES);
    else
        free(older);
    older = NULL;
}

static void call_mallopt(void)
{
    function_expect(mallopt(M_ARENA_TEST, 8) == 1, "result");
}

static void call_mallinfo(void)
{
    struct mallinfo info = mallinfo();

    function_expect(older == NULL || info.uordblks >= (int)OLDER_BYTES, "bytes in use");
}

static void call_mallinfo2(void)
{
    struct mallinfo2 info = mallinfo2();

    function_expect(older == NULL || info.uordblks >= OLDER_BYTES, "bytes in use");
}

// Sends what is written to standard error into a pipe meanwhile; something must arrive.
static void printed(void (*print)(void))
{
    int before = dup(STDERR_FILENO);
    char text[16384];
    ssize_t got;
    int ends[2];

    function_expect(before >= 0 && pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0, "pipe");
    dup2(ends[1], STDERR_FILENO);
    print();
    got = read(ends[0], text, sizeof text);
    dup2(before, STDERR_FILENO);
    close(before);
    close(ends[0]);
    close(ends[1]);
    function_expect(got > 0, "nothing was printed");
}

static void print_info(void)
{
    function_expect(malloc_info(0, stderr) == 0, "result");
}

static void call_malloc_info(void)
{
    printed(print_info);
}

static void call_malloc_stats(void)
{
    printed(malloc_stats);
}

static void use_new(void *p, size_t align)
{
    function_expect((uintptr_t)p % align == 0, "alignment");
    function_use(p, BYTES);
}

// operator new: its type and its arguments. The object that says nothrow is never read.
#define CALL_NEW(name, types, align, ...)      \
    WEAK void *name types;                     \
    static void call##name(void)               \
    {                                          \
        if (has(name != NULL))                 \
            use_new(name(__VA_ARGS__), align); \
    }
// operator delete, of a block that malloc took: with us both are one heap.
#define CALL_DELETE(name, types, ...) \
    WEAK void name types;             \
    static void call##name(void)      \
    {                                 \
        if (has(name != NULL))        \
            name(__VA_ARGS__);        \
        else                          \
            free(older);              \
        older = NULL;                 \
    }

CALL_NEW(_Znwm, (size_t), 16, BYTES)
CALL_NEW(_Znam, (size_t), 16, BYTES)
CALL_NEW(_ZnwmRKSt9nothrow_t, (size_t, const void *), 16, BYTES, "")
CALL_NEW(_ZnamRKSt9nothrow_t, (size_t, const void *), 16, BYTES, "")
CALL_NEW(_ZnwmSt11align_val_t, (size_t, size_t), ALIGN, BYTES, ALIGN)
CALL_NEW(_ZnamSt11align_val_t, (size_t, size_t), ALIGN, BYTES, ALIGN)
CALL_NEW(_ZnwmSt11align_val_tRKSt9nothrow_t, (size_t, size_t, const void *), ALIGN, BYTES, ALIGN,
         "")
CALL_NEW(_ZnamSt11align_val_tRKSt9nothrow_t, (size_t, size_t, const void *), ALIGN, BYTES, ALIGN,
         "")
CALL_DELETE(_ZdlPv, (void *), older)
CALL_DELETE(_ZdaPv, (void *), older)
CALL_DELETE(_ZdlPvm, (void *, size_t), older, OLDER_BYTES)
CALL_DELETE(_ZdaPvm, (void *, size_t), older, OLDER_BYTES)
CALL_DELETE(_ZdlPvRKSt9nothrow_t, (void *, const void *), older, "")
CALL_DELETE(_ZdaPvRKSt9nothrow_t, (void *, const void *), older, "")
CALL_DELETE(_ZdlPvSt11align_val_t, (void *, size_t), older, 16)
CALL_DELETE(_ZdaPvSt11align_val_t, (void *, size_t), older, 16)
CALL_DELETE(_ZdlPvmSt11align_val_t, (void *, size_t, size_t), older, OLDER_BYTES, 16)
CALL_DELETE(_ZdaPvmSt11align_val_t, (void *, size_t, size_t), older, OLDER_BYTES, 16)
CALL_DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t, (void *, size_t, const void *), older, 16, "")
CALL_DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t, (void *, size_t, const void *), older, 16, "")

const struct function functions_own[] = {
    { "free_sized", call_free_sized },
    { "free_aligned_sized", call_free_aligned_sized },
    { "mallopt", call_mallopt },
    { "mallinfo", call_mallinfo },
    { "mallinfo2", call_mallinfo2 },
    { "malloc_info", call_malloc_info },
    { "malloc_stats", call_malloc_stats },
    { "_Znwm", call_Znwm },
    { "_Znam", call_Znam },
    { "_ZnwmRKSt9nothrow_t", call_ZnwmRKSt9nothrow_t },
    { "_ZnamRKSt9nothrow_t", call_ZnamRKSt9nothrow_t },
    { "_ZnwmSt11align_val_t", call_ZnwmSt11align_val_t },
    { "_ZnamSt11align_val_t", call_ZnamSt11align_val_t },
    { "_ZnwmSt11align_val_tRKSt9nothrow_t", call_ZnwmSt11align_val_tRKSt9nothrow_t },
    { "_ZnamSt11align_val_tRKSt9nothrow_t", call_ZnamSt11align_val_tRKSt9nothrow_t },
    { "_ZdlPv", call_ZdlPv },
    { "_ZdaPv", call_ZdaPv },
    { "_ZdlPvm", call_ZdlPvm },
    { "_ZdaPvm", call_ZdaPvm },
    { "_ZdlPvRKSt9nothrow_t", call_ZdlPvRKSt9nothrow_t },
    { "_ZdaPvRKSt9nothrow_t", call_ZdaPvRKSt9nothrow_t },
    { "_ZdlPvSt11align_val_t", call_ZdlPvSt11align_val_t },
    { "_ZdaPvSt11align_val_t", call_ZdaPvSt11align_val_t },
    { "_ZdlPvmSt11align_val_t", call_ZdlPvmSt11align_val_t },
    { "_ZdaPvmSt11align_val_t", call_ZdaPvmSt11align_val_t },
    { "_ZdlPvSt11align_val_tRKSt9nothrow_t", call_ZdlPvSt11align_val_tRKSt9nothrow_t },
    { "_ZdaPvSt11align_val_tRKSt9nothrow_t", call_ZdaPvSt11align_val_tRKSt9nothrow_t },
    { NULL, NULL },
};

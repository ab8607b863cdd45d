// functions.c: the functions that have a standard name and a prefixed one (see functions.h).
#include "functions.h"

#include <string.h>

void function_use(void *p, size_t n)
{
    function_expect(p != NULL, "NULL");
    memset(p, 0x5a, n);
    hak_free(p);
}

static void call_malloc(void)
{
    function_use(hak_malloc(100), 100);
}

static void call_malloc_large(void)
{
    function_use(hak_malloc(500 * KIB), 500 * KIB);
}

static void call_malloc_huge(void)
{
    function_use(hak_malloc(5 * MIB), 5 * MIB);
}

static void call_calloc(void)
{
    unsigned char *p = hak_calloc(10, 50);

    function_expect(p != NULL && p[0] == 0 && p[499] == 0, "not zero");
    function_use(p, 500);
}

static void call_realloc(void)
{
    unsigned char *p = hak_realloc(older, 3000);

    function_expect(p != NULL && (older == NULL || (p[0] == 0x77 && p[99] == 0x77)), "contents");
    older = NULL;
    function_use(p, 3000);
}

static void call_reallocarray(void)
{
    unsigned char *p = hak_reallocarray(older, 30, 100);

    function_expect(p != NULL && (older == NULL || p[99] == 0x77), "contents");
    older = NULL;
    function_use(p, 3000);
}

static void call_free(void)
{
    hak_free(older);
    older = NULL;
}

static void call_aligned_alloc(void)
{
    void *p = hak_aligned_alloc(256, 1000);

    function_expect((uintptr_t)p % 256 == 0, "alignment");
    function_use(p, 1000);
}

static void call_memalign(void)
{
    void *p = hak_memalign(64 * KIB, 100);

    function_expect((uintptr_t)p % (64 * KIB) == 0, "alignment");
    function_use(p, 100);
}

static void call_posix_memalign(void)
{
    void *p = NULL;

    function_expect(hak_posix_memalign(&p, 128, 100) == 0 && (uintptr_t)p % 128 == 0, "alignment");
    function_use(p, 100);
}

static void call_valloc(void)
{
    function_use(hak_valloc(100), 100);
}

static void call_pvalloc(void)
{
    function_use(hak_pvalloc(100), 4096);
}

static void call_usable_size(void)
{
    size_t n = hak_malloc_usable_size(older);

    function_expect(older == NULL ? n == 0 : n >= 100, "usable size");
}

static void call_trim(void)
{
    int given = hak_malloc_trim(0);

    function_expect(given == 0 || given == 1, "result");
}

const struct function functions_common[] = {
    { "malloc", call_malloc },
    { "malloc:large", call_malloc_large },
    { "malloc:huge", call_malloc_huge },
    { "calloc", call_calloc },
    { "realloc", call_realloc },
    { "reallocarray", call_reallocarray },
    { "free", call_free },
    { "aligned_alloc", call_aligned_alloc },
    { "memalign", call_memalign },
    { "posix_memalign", call_posix_memalign },
    { "valloc", call_valloc },
    { "pvalloc", call_pvalloc },
    { "malloc_usable_size", call_usable_size },
    { "malloc_trim", call_trim },
    { NULL, NULL },
};

// api.c: the prefixed names of hakmem.h: argument checks and errno around front.h and alloc.h.
//
// No state. The standard names are in override.c.

#include <errno.h>

#include <seam/os.h>

#include "alloc.h"
#include "attach.h"
#include "front.h"
#include "hakmem.h"
#include "realloc.h"

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

void *hak_malloc(size_t n)
{
    return front_malloc(n);
}

void hak_free(void *p)
{
    front_free(p);
}

void *hak_calloc(size_t count, size_t size)
{
    size_t n;
    if (__builtin_mul_overflow(count, size, &n)) {
        errno = ENOMEM;
        return NULL;
    }
    return front_calloc(n);
}

void *hak_realloc(void *p, size_t n)
{
    if (p == NULL)
        return front_malloc(n);
    if (n == 0) {
        front_free(p);
        return NULL;
    }
    return hak_realloc_block(p, n);
}

void *hak_reallocarray(void *p, size_t count, size_t size)
{
    size_t n;
    if (__builtin_mul_overflow(count, size, &n)) {
        errno = ENOMEM;
        return NULL;
    }
    return hak_realloc(p, n);
}

void hak_free_sized(void *p, size_t n)
{
    front_free_sized(p, 1, n);
}

void hak_free_aligned_sized(void *p, size_t align, size_t n)
{
    front_free_sized(p, align, n);
}

void *hak_aligned_alloc(size_t align, size_t n)
{
    if (!is_power_of_two(align)) {
        errno = EINVAL;
        return NULL;
    }
    return hak_alloc_aligned(align, n);
}

void *hak_memalign(size_t align, size_t n)
{
    if (align > SIZE_MAX / 2 + 1) { // no power of two is as large
        errno = EINVAL;
        return NULL;
    }
    if (!is_power_of_two(align))
        align = align == 0 ? 1 : (size_t)2 << highest_bit(align);
    return hak_alloc_aligned(align, n);
}

int hak_posix_memalign(void **out, size_t align, size_t n)
{
    if (!is_power_of_two(align) || align % sizeof(void *) != 0)
        return EINVAL;
    int saved = errno;
    void *p = hak_alloc_aligned(align, n);
    errno = saved;
    if (p == NULL)
        return ENOMEM;
    *out = p;
    return 0;
}

void *hak_valloc(size_t n)
{
    return hak_alloc_aligned(os_page_size(), n);
}

void *hak_pvalloc(size_t n)
{
    size_t page = os_page_size();
    if (n > REQUEST_MAX) {
        errno = ENOMEM;
        return NULL;
    }
    return hak_alloc_aligned(page, round_up(max_size(n, 1), page));
}

size_t hak_malloc_usable_size(void *p)
{
    return p == NULL ? 0 : hak_usable_bytes(p);
}

int hak_malloc_trim(size_t pad)
{
    return hak_trim(pad);
}

void hak_thread_flush(void)
{
    hak_detach();
}

const char *hak_version(void)
{
#define VERSION                \
    TEXT(HAKMEM_VERSION_MAJOR) \
    "." TEXT(HAKMEM_VERSION_MINOR) "." TEXT(HAKMEM_VERSION_PATCH) " " HAK_FLAVOUR
    return GEOMETRY_SMALL ? VERSION " small" : VERSION " default";
}

// Makes no mistake: nothing may be reported.
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>

#include "wrong.h"

STEP static void *work(void *unused)
{
    (void)unused;
    for (size_t n = 1; n < 3000000; n += n / 2 + 1) {
        char *p = malloc(n);
        char *zero = calloc(1, n);
        memset(p, 1, n);
        char *more = realloc(p, 2 * n);
        memset(more + n, 2, n);
        char *less = realloc(more, n / 2 + 1);
        if (zero[0] + zero[n - 1] != 0 || less[0] != 1 || less[n / 2] != 1)
            abort();
        free(less);
        free(zero);
    }
    return NULL;
}

// All n bytes may be used, and no address less is a multiple of `align`.
static void use(void *p, size_t align, size_t n)
{
    if (p == NULL || (uintptr_t)p % align != 0 || malloc_usable_size(p) < n)
        abort();
    memset(p, 3, n);
    free(p);
}

// Each name once, also where it must fail.
STEP static void call_all(void)
{
    volatile size_t huge = SIZE_MAX / 2;
    void *p = NULL;
    if (posix_memalign(&p, 256, 300) != 0)
        abort();
    use(p, 256, 300);
    use(aligned_alloc(64, 640), 64, 640);
    use(memalign(4096, 100), 4096, 100);
    use(valloc(10), 4096, 10);
    use(pvalloc(10), 4096, 4096);
    use(reallocarray(NULL, 30, 30), 16, 900);
    if (reallocarray(NULL, huge, 3) != NULL || calloc(huge, 3) != NULL || malloc(huge) != NULL)
        abort();
    if (realloc(malloc(50), 0) != NULL || malloc_usable_size(NULL) != 0)
        abort();
    p = malloc(70);
    if (realloc(p, huge) != NULL) // p stays
        abort();
    use(p, 16, 70);
    free(NULL);
}

// More is freed than what a tool keeps back: blocks that waited go in the end, large ones at once.
STEP static void free_much(void)
{
    for (int i = 0; i < 100000; i++)
        free(malloc(100));
    for (int i = 0; i < 20; i++)
        free(malloc(8 << 20));
    free(malloc(40 << 20));
}

int main(void)
{
    pthread_t other;
    call_all();
    free_much();
    if (pthread_create(&other, NULL, work, NULL) != 0)
        return 2;
    work(NULL);
    char *line = strdup("allocated by the C library");
    free(line);
    return pthread_join(other, NULL);
}

// Makes no mistake: nothing may be reported.
#include <pthread.h>

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

int main(void)
{
    pthread_t other;
    if (pthread_create(&other, NULL, work, NULL) != 0)
        return 2;
    work(NULL);
    char *line = strdup("allocated by the C library");
    free(line);
    return pthread_join(other, NULL);
}

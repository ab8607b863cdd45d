// Reads a block that another thread freed.
#include <pthread.h>

#include "wrong.h"

STEP static char *allocate(size_t n)
{
    char *p = malloc(n);
    memset(p, 1, n);
    say_block(p, n);
    return p;
}

STEP static void *release(void *p)
{
    free(p);
    return NULL;
}

STEP static int mistake(const char *p)
{
    return p[8];
}

int main(void)
{
    char *p = allocate(40);
    pthread_t other;
    if (pthread_create(&other, NULL, release, p) != 0 || pthread_join(other, NULL) != 0)
        return 2;
    return mistake(p) == 1000;
}

// Reads a block that was freed, after many others of its size were asked for: it must not be one of
// them yet.
#include "wrong.h"

STEP static char *allocate(size_t n)
{
    char *p = malloc(n);
    memset(p, 1, n);
    say_block(p, n);
    return p;
}

STEP static void release(char *p)
{
    free(p);
}

STEP static int mistake(const char *p)
{
    return p[50];
}

int main(void)
{
    char *p = allocate(100);
    release(p);
    for (int i = 0; i < 1000; i++)
        memset(malloc(100), 2, 100);
    return mistake(p) == 1000;
}

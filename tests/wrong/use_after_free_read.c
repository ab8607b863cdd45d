// Reads a block that was freed.
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
    return mistake(p) == 1000;
}

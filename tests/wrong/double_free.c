// Frees a block twice.
#include "wrong.h"

STEP static char *allocate(size_t n)
{
    char *p = malloc(n);
    say_block(p, n);
    return p;
}

STEP static void release(char *p)
{
    free(p);
}

STEP static void mistake(char *p)
{
    free(p);
}

int main(void)
{
    char *p = allocate(100);
    release(p);
    mistake(p);
    return 0;
}

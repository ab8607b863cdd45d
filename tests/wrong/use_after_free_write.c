// Writes into a large block that was freed.
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
    p[70000] = 1;
}

int main(void)
{
    char *p = allocate(700000);
    release(p);
    mistake(p);
    return 0;
}

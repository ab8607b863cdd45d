// Reads through the pointer from before a realloc that moved the block.
#include "wrong.h"

STEP static char *allocate(size_t n)
{
    char *p = malloc(n);
    memset(p, 1, n);
    say_block(p, n);
    return p;
}

STEP static char *release(char *p)
{
    return realloc(p, 5000);
}

STEP static int mistake(const char *old)
{
    return old[3];
}

int main(void)
{
    char *old = allocate(100);
    char *now = release(old);
    return mistake(old) + now[0] == 1000;
}

// Writes one byte behind a block of many megabytes.
#include "wrong.h"

STEP static char *allocate(size_t n)
{
    char *p = malloc(n);
    say_block(p, n);
    return p;
}

STEP static void mistake(char *p, size_t n)
{
    p[n] = 1;
}

int main(void)
{
    size_t n = 9 * 1024 * 1024 + 5;
    mistake(allocate(n), n);
    return 0;
}

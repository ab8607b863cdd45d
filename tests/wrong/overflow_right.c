// Writes one byte behind a block whose size is not that of its class.
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
    mistake(allocate(100), 100);
    return 0;
}

// Decides by a byte that nobody wrote.
#include "wrong.h"

STEP static char *allocate(size_t n)
{
    char *p = malloc(n);
    say_block(p, n);
    return p;
}

STEP static int mistake(const char *p)
{
    if (p[20] == 'x')
        return puts("x");
    return 0;
}

int main(void)
{
    return mistake(allocate(100)) == 1000;
}

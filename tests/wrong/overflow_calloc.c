// Reads behind a block of zeroes.
#include "wrong.h"

STEP static int *allocate(size_t count)
{
    int *p = calloc(count, sizeof *p);
    say_block(p, count * sizeof *p);
    return p;
}

STEP static int mistake(const int *p, size_t count)
{
    return p[count];
}

int main(void)
{
    return mistake(allocate(25), 25) == 1000;
}

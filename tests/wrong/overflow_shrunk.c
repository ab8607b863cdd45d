// Writes behind the end that realloc gave a block, where it was the block's before.
#include "wrong.h"

STEP static char *allocate(size_t n)
{
    return malloc(n);
}

STEP static char *resize(char *p, size_t n)
{
    p = realloc(p, n);
    say_block(p, n);
    return p;
}

STEP static void mistake(char *p)
{
    p[95] = 1;
}

int main(void)
{
    mistake(resize(allocate(100), 90));
    return 0;
}

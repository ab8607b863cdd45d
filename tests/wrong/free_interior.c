// Frees a pointer into a block.
#include "wrong.h"

STEP static char *allocate(size_t n)
{
    char *p = malloc(n);
    say_block(p, n);
    return p;
}

STEP static void mistake(char *p)
{
    free(p + 16);
}

int main(void)
{
    mistake(allocate(100));
    return 0;
}

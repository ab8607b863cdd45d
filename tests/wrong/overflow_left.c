// Reads the byte in front of a block, the first of its slab. The memory in front of that belongs
// to a slab of another size: in front of the first slab no memory is mapped at all.
#include "wrong.h"

STEP static char *allocate(size_t n)
{
    if (malloc(10 * n) == NULL)
        return NULL;
    char *p = malloc(n);
    say_block(p, n);
    return p;
}

STEP static int mistake(const char *p)
{
    return p[-1];
}

int main(void)
{
    return mistake(allocate(100)) == 1000;
}

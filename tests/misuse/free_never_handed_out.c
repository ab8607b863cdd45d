// Frees a block of a slab in use that was never handed out: SIZE, and BLOCKS beyond one that was.
#include "misuse.h"

int main(int argc, char **argv)
{
    (void)argc;
    char *p = allocate(number(argv, 1));
    size_t block = malloc_usable_size(p) + 15 & ~(size_t)15;
    free(wrong(p + number(argv, 2) * block));
    flush();
    return 0;
}

// Frees the neighbour of a block of SIZE bytes, which was never handed out.
#include "misuse.h"

int main(int argc, char **argv)
{
    (void)argc;
    size_t n = number(argv, 1);
    char *p = allocate(n);
    char *q = allocate(n); // the neighbour itself?
    ptrdiff_t block = malloc_usable_size(p) + 15 & ~(size_t)15;
    if (((uintptr_t)p + 2 * block) >> 16 != (uintptr_t)p >> 16) // the other one, in the same unit
        block = -block;
    free(wrong(p + block == q ? p + 2 * block : p + block));
    _exit(0);
}

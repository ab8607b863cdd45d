// Allocates 64 blocks of SIZE bytes: exits with 5 if most of them follow their predecessor.
#include "misuse.h"

int main(int argc, char **argv)
{
    (void)argc;
    size_t n = number(argv, 1);
    char *before = allocate(n);
    size_t step = malloc_usable_size(before) + 15 & ~(size_t)15;
    int follow = 0;
    for (int i = 1; i < 64; i++) {
        char *p = allocate(n);
        follow += p == before + step;
        before = p;
    }
    _exit(follow > 32 ? 5 : 0);
}

// Allocates 64 blocks of SIZE bytes: exits with 5 if most of them lie as far from their
// predecessor as the second from the first.
#include "misuse.h"

int main(int argc, char **argv)
{
    (void)argc;
    size_t n = number(argv, 1);
    char *before = allocate(n);
    ptrdiff_t step = 0;
    int follow = 0;
    for (int i = 1; i < 64; i++) {
        char *p = allocate(n);
        step = i == 1 ? p - before : step;
        follow += p == before + step;
        before = p;
    }
    _exit(follow > 32 ? 5 : 0);
}

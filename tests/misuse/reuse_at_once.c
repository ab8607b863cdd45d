// Frees a block of SIZE bytes and allocates another: exits with 5 if one is handed out again among
// the next ALLOCATIONS, each of which is freed as well.
#include "misuse.h"

int main(int argc, char **argv)
{
    (void)argc;
    size_t n = number(argv, 1);
    char *p = allocate(n);
    free(p);
    for (size_t i = 0; i < number(argv, 2); i++) {
        char *q = allocate(n);
        if (q == p)
            _exit(5);
        free(q);
    }
    _exit(0);
}

// Reads a freed block of SIZE bytes: exits with 5 if any byte of it is left.
#include "misuse.h"

int main(int argc, char **argv)
{
    (void)argc;
    size_t n = number(argv, 1);
    char *p = allocate(n);
    free(p);
    for (size_t i = 0; i < n; i++)
        if (p[i] != 0)
            _exit(5);
    _exit(0);
}

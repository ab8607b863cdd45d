// Writes a byte at OFFSET of a freed block of SIZE bytes, and allocates until that is handed out.
#include "misuse.h"

int main(int argc, char **argv)
{
    (void)argc;
    size_t n = number(argv, 1);
    char *p = wrong(allocate(n));
    free(p);
    p[number(argv, 2)] = 0x42;
    for (int i = 0; i < tries(n); i++)
        free(malloc(n));
    _exit(0);
}

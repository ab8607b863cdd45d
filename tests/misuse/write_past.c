// Writes BYTES bytes behind the SIZE that were asked for, one after the other, and frees the block.
#include "misuse.h"

int main(int argc, char **argv)
{
    (void)argc;
    size_t n = number(argv, 1);
    char *p = wrong(allocate(n));
    size_t bytes = number(argv, 2);
    for (size_t i = 0; i < bytes; i++)
        p[n + i] = 0x42;
    free(p);
    _exit(0);
}

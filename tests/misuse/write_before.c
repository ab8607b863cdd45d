// Writes BYTES bytes in front of a block of SIZE bytes, downwards, and frees it.
#include "misuse.h"

int main(int argc, char **argv)
{
    (void)argc;
    char *before = allocate(number(argv, 1));
    char *p = wrong(allocate(number(argv, 1)));
    size_t bytes = number(argv, 2);
    for (size_t i = 1; i <= bytes; i++)
        *(p - i) = 0x42;
    free(p);
    free(before);
    _exit(0);
}

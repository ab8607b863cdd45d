// Writes a byte BYTES behind the end of what may be used of a block of SIZE bytes, and frees it.
#include "misuse.h"

int main(int argc, char **argv)
{
    (void)argc;
    char *p = wrong(allocate(number(argv, 1)));
    p[malloc_usable_size(p) + number(argv, 2)] ^= 0x42;
    free(p);
    _exit(0);
}

// Reads (WRITE = 0) or writes (1) the first byte of a block of size 0, which is live (FREED = 0) or
// has been freed (1).
#include "misuse.h"

int main(int argc, char **argv)
{
    (void)argc;
    volatile char *p = wrong(malloc(0));
    if (number(argv, 2))
        free((char *)p);
    if (number(argv, 1))
        *p = 0x42;
    else
        (void)*p;
    _exit(0);
}

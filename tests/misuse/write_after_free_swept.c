// Writes to a block of SIZE bytes after its free; nobody asks for the block again, but the cache is
// flushed.
#include "misuse.h"

int main(int argc, char **argv)
{
    (void)argc;
    char *p = wrong(allocate(number(argv, 1)));
    free(p);
    p[0] = 0x42;
    flush();
    _exit(0);
}

// Asks for the usable size of a block that has just been freed.
#include "misuse.h"

int main(int argc, char **argv)
{
    (void)argc;
    char *p = wrong(allocate(number(argv, 1)));
    free(p);
    return malloc_usable_size(p) != 0;
}

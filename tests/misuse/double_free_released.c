// Frees a block again after its slab was given back: no block is there any more.
#include "misuse.h"

int main(int argc, char **argv)
{
    (void)argc;
    char *p = wrong(allocate(number(argv, 1)));
    free(p);
    flush();
    free(p);
    return 0;
}

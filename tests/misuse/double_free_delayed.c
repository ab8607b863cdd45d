// Frees a block again after it went from the cache to its slab, which lives on.
#include "misuse.h"

int main(int argc, char **argv)
{
    (void)argc;
    char *neighbour = allocate(number(argv, 1));
    char *p = wrong(allocate(number(argv, 1)));
    free(p);
    flush();
    free(p);
    flush();
    free(neighbour);
    return 0;
}

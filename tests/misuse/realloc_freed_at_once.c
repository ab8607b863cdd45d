// Reallocates a block that has just been freed, to one byte.
#include "misuse.h"

int main(int argc, char **argv)
{
    (void)argc;
    char *p = wrong(allocate(number(argv, 1)));
    free(p);
    return realloc(p, 1) != NULL;
}

// Writes a byte BYTES behind the end of what may be used of a large block of SIZE bytes.
#include "misuse.h"

int main(int argc, char **argv)
{
    (void)argc;
    char *p = allocate(number(argv, 1));
    char *q = allocate(number(argv, 1)); // what lies behind it, as like as not
    p[malloc_usable_size(p) + number(argv, 2)] = 0x42;
    free(p);
    free(q);
    return 0;
}

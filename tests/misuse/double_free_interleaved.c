// Frees a block, then another, then the first again.
#include "misuse.h"

int main(int argc, char **argv)
{
    (void)argc;
    char *p = wrong(allocate(number(argv, 1)));
    char *q = allocate(number(argv, 1));
    free(p);
    free(q);
    free(p);
    flush();
    return 0;
}

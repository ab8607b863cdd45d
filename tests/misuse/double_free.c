// Frees a block twice in a row.
#include "misuse.h"

int main(int argc, char **argv)
{
    (void)argc;
    char *p = wrong(allocate(number(argv, 1)));
    free(p);
    free(p);
    flush();
    return 0;
}

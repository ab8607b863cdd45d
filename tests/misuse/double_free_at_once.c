// Frees a block twice in a row and ends at once: nothing is flushed.
#include "misuse.h"

int main(int argc, char **argv)
{
    (void)argc;
    char *p = wrong(allocate(number(argv, 1)));
    free(p);
    free(p);
    _exit(0);
}

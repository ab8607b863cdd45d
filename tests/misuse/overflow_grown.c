// Writes a byte behind the end of a block of SIZE bytes that was made LONGER, and frees it.
#include "misuse.h"

int main(int argc, char **argv)
{
    (void)argc;
    size_t longer = number(argv, 2);
    char *p = wrong(realloc(allocate(number(argv, 1)), longer));
    p[longer] = 0x42;
    free(p);
    _exit(0);
}

// Frees a pointer into a block: SIZE OFFSET.
#include "misuse.h"

int main(int argc, char **argv)
{
    (void)argc;
    char *p = allocate(number(argv, 1));
    free(wrong(p + number(argv, 2)));
    flush();
    return 0;
}

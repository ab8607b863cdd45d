// Asks for the usable size of a pointer into a block: SIZE OFFSET.
#include "misuse.h"

int main(int argc, char **argv)
{
    (void)argc;
    char *p = allocate(number(argv, 1));
    return malloc_usable_size(wrong(p + number(argv, 2))) != 0;
}

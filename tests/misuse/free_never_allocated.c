// Frees an address in the arena, DISTANCE bytes beyond a block, where nothing was ever handed out.
#include "misuse.h"

int main(int argc, char **argv)
{
    (void)argc;
    char *p = allocate(64);
    free(wrong(p + number(argv, 1)));
    return 0;
}

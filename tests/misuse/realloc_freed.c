// Reallocates a block that was freed and whose memory went back.
#include "misuse.h"

int main(int argc, char **argv)
{
    (void)argc;
    char *p = wrong(allocate(number(argv, 1)));
    free(p);
    flush();
    return realloc(p, 100) != NULL;
}

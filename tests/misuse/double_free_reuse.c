// Frees a block, has it handed out again, frees it by the old pointer, and then by the new one. A
// block that is not handed out again is no mistake: exits with 0.
#include "misuse.h"

int main(int argc, char **argv)
{
    (void)argc;
    size_t n = number(argv, 1);
    char *p = wrong(allocate(n));
    free(p);
    char *q = reuse(p, n);
    if (q == NULL)
        _exit(0);
    free(p);
    free(q);
    flush();
    _exit(5);
}

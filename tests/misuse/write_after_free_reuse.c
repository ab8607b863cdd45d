// Writes by an old pointer to a block of SIZE bytes that was handed out again: exits with 5 if its
// new owner sees that. A block that is not handed out again is none of it: exits with 0.
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
    p[0] = 0x42;
    _exit(q[0] == 0x42 ? 5 : 0);
}

// Reads what is in a block of SIZE bytes that was just handed out: exits with 5 if it finds what
// another block held before that was freed.
#include "misuse.h"

int main(int argc, char **argv)
{
    (void)argc;
    size_t n = number(argv, 1);
    int found = 0;
    for (int i = 0; i < 8; i++)
        free(allocate(n));
    for (int i = 0; i < 600; i++) {
        volatile char *p = malloc(n);
        found |= p[n / 2] == 0x41 || p[n - 1] == 0x41;
        free((char *)p);
    }
    _exit(found ? 5 : 0);
}

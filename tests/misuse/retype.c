// Looks for blocks of 1024 bytes where blocks of SIZE bytes were before all of those were freed:
// exits with 5 if there are any, as a stale pointer to the one then points into the other.
#include "misuse.h"

enum { BEFORE = 20000, AFTER = 4000, UNIT_SHIFT = 16 };

int main(int argc, char **argv)
{
    (void)argc;
    static char *before[BEFORE];
    for (int i = 0; i < BEFORE; i++)
        before[i] = allocate(number(argv, 1));
    for (int i = 0; i < BEFORE; i++)
        free(before[i]);
    flush();
    for (int i = 0; i < AFTER; i++) {
        uintptr_t p = (uintptr_t)allocate(1024);
        for (int j = 0; j < BEFORE; j++)
            if (p >> UNIT_SHIFT == (uintptr_t)before[j] >> UNIT_SHIFT)
                _exit(5);
    }
    _exit(0);
}

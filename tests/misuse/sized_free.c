// Frees a block of SIZE bytes as one of WRONG bytes.
#include "misuse.h"

// C23: an allocator without it cannot be tried.
__attribute__((weak)) void free_sized(void *p, size_t n);

int main(int argc, char **argv)
{
    (void)argc;
    if (free_sized == NULL)
        _exit(77);
    char *p = wrong(allocate(number(argv, 1)));
    free_sized(p, number(argv, 2));
    _exit(0);
}

// Frees a block of SIZE bytes as one of WRONG bytes.
#include "misuse.h"

// C23; only the library has it.
__attribute__((weak)) void free_sized(void *p, size_t n);

int main(int argc, char **argv)
{
    (void)argc;
    char *p = wrong(allocate(number(argv, 1)));
    free_sized(p, number(argv, 2));
    _exit(0);
}

// Frees a block of SIZE bytes, which lies in a mapping of its own for its alignment, as one of
// WRONG bytes.
#include "misuse.h"

#define ALIGN ((size_t)256 << 20)

// C23: an allocator without it cannot be tried.
__attribute__((weak)) void free_aligned_sized(void *p, size_t align, size_t n);

int main(int argc, char **argv)
{
    (void)argc;
    if (free_aligned_sized == NULL)
        _exit(77);
    char *p = (char *)memalign(ALIGN, number(argv, 1));
    if (p == NULL)
        _exit(3);
    p = wrong(p);
    free_aligned_sized(p, ALIGN, number(argv, 2));
    _exit(0);
}

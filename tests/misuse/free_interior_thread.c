// Another thread frees a pointer into a block, and ends: SIZE OFFSET.
#include "misuse.h"

static void *free_it(void *p)
{
    free(p);
    return NULL;
}

int main(int argc, char **argv)
{
    (void)argc;
    char *p = allocate(number(argv, 1));
    in_thread(free_it, wrong(p + number(argv, 2)));
    return 0;
}

// Two other threads free a block, one after the other.
#include "misuse.h"

static void *free_it(void *p)
{
    free(p);
    return NULL;
}

int main(int argc, char **argv)
{
    (void)argc;
    char *neighbour = allocate(number(argv, 1));
    char *p = wrong(allocate(number(argv, 1)));
    in_thread(free_it, p);
    in_thread(free_it, p);
    flush();
    free(neighbour);
    return 0;
}

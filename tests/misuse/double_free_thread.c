// Another thread frees a block and ends, then the thread that made it frees it.
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
    free(p);
    flush();
    free(neighbour);
    return 0;
}

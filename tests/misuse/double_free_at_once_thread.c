// Another thread frees a block that the first has freed, and the program ends at once.
#include "misuse.h"

static void *free_it(void *p)
{
    free(p);
    return NULL;
}

int main(int argc, char **argv)
{
    (void)argc;
    char *p = wrong(allocate(number(argv, 1)));
    free(p);
    in_thread(free_it, p);
    _exit(0);
}

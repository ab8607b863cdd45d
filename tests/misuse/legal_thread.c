// No mistake: a block is freed after the thread that made it has ended.
#include "misuse.h"

static size_t size;

static void *make(void *result)
{
    *(char **)result = allocate(size);
    return NULL;
}

int main(int argc, char **argv)
{
    (void)argc;
    char *p;
    size = number(argv, 1);
    for (int i = 0; i < 100; i++) {
        in_thread(make, &p);
        free(p);
    }
    flush();
    return 0;
}

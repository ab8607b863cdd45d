// Two threads free a block at the same moment, then both end.
#include "misuse.h"

static pthread_barrier_t barrier;

static void *free_it(void *p)
{
    free(malloc(8)); // attach first, so that the frees are close together
    pthread_barrier_wait(&barrier);
    free(p);
    return NULL;
}

int main(int argc, char **argv)
{
    (void)argc;
    char *neighbour = allocate(number(argv, 1));
    char *p = wrong(allocate(number(argv, 1)));
    pthread_t threads[2];
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(&threads[0], NULL, free_it, p);
    pthread_create(&threads[1], NULL, free_it, p);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    flush();
    free(neighbour);
    return 0;
}

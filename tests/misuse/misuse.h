// misuse.h: what the wrong programs share. Each makes one mistake and is run by ./run, which
// compares how it ends and what it says with what is expected there.
#ifndef TESTS_MISUSE_H
#define TESTS_MISUSE_H

#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

// The n-th argument as a number.
static inline size_t number(char **argv, int n)
{
    if (argv[n] == NULL) {
        dprintf(2, "%s: argument %d is missing\n", argv[0], n);
        _exit(2);
    }
    return strtoull(argv[n], NULL, 0);
}

// malloc with contents, which the compiler cannot see through.
static inline char *allocate(size_t n)
{
    char *p = (char *)malloc(n);
    if (p == NULL)
        _exit(3);
    memset(p, 0x41, n);
    __asm__ volatile("" : "+r"(p) : : "memory");
    return p;
}

// Tells ./run which pointer is the wrong one. Allocates nothing.
static inline void *wrong(void *p)
{
    dprintf(1, "%p\n", p);
    __asm__ volatile("" : "+r"(p) : : "memory");
    return p;
}

// Late mistakes are found when the thread's cache is flushed.
static inline void flush(void)
{
    malloc_trim(0);
}

// How often to ask for blocks of n bytes until a certain one may be expected again.
static inline int tries(size_t n)
{
    return n > 65536 ? 400 : 20000;
}

// Asks for blocks of n bytes until p is handed out again; NULL if it is not.
static inline char *reuse(char *p, size_t n)
{
    for (int i = 0; i < tries(n); i++) {
        char *q = (char *)malloc(n);
        if (q == p)
            return q;
        free(q);
    }
    return NULL;
}

static inline void in_thread(void *(*f)(void *), void *argument)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, f, argument) != 0 || pthread_join(thread, NULL) != 0)
        _exit(4);
}

#endif

// profiled.c: a program whose allocations are known, for test_profile.py: each function below keeps
// or frees blocks of one size.
//
// usage: profiled [fork | wait | write FILE [LIBRARY keep|close]]
//
// wait: for the end of its input. LIBRARY: its function keep_in_library is called, then it is kept
// or closed.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

bool hak_write_profile(int fd) __attribute__((weak));

#define USED(p) __asm__ volatile("" : "+r"(p))

enum { CROSSED = 20000 };
static void *crossed[CROSSED];

__attribute__((noinline)) static void keep_small(void)
{
    for (int i = 0; i < 40000; i++) {
        void *p = malloc(100);
        USED(p);
    }
}

__attribute__((noinline)) static void keep_zeroed(void)
{
    for (int i = 0; i < 500; i++) {
        void *p = calloc(10, 500);
        USED(p);
    }
}

__attribute__((noinline)) static void free_at_once(void)
{
    for (int i = 0; i < 300000; i++) {
        void *p = malloc(64);
        USED(p);
        free(p);
    }
}

__attribute__((noinline)) static void keep_huge(void)
{
    void *p = NULL;
    for (size_t mib = 2; mib <= 16; mib *= 2) {
        p = realloc(p, mib << 20);
        USED(p);
    }
}

static void *free_crossed(void *unused)
{
    for (int i = 0; i < CROSSED; i++)
        free(crossed[i]);
    return unused;
}

__attribute__((noinline)) static void cross(void)
{
    pthread_t thread;
    for (int i = 0; i < CROSSED; i++)
        crossed[i] = malloc(250);
    usleep(20000);
    if (pthread_create(&thread, NULL, free_crossed, NULL) != 0)
        abort();
    pthread_join(thread, NULL);
}

__attribute__((noinline)) static void keep_in_child(void)
{
    void *p = malloc(8 << 20);
    USED(p);
}

static void call_library(const char *file, bool keep)
{
    void *library = dlopen(file, RTLD_NOW);
    void *function = library != NULL ? dlsym(library, "keep_in_library") : NULL;
    if (function == NULL)
        abort();
    ((void (*)(void))function)();
    if (!keep)
        dlclose(library);
}

int main(int count, char **words)
{
    void *first = malloc(1); // of the process: nothing is known of it
    USED(first);
    free(first);
    keep_small();
    keep_zeroed();
    free_at_once();
    keep_huge();
    cross();
    if (count > 1 && strcmp(words[1], "fork") == 0) {
        if (fork() == 0)
            keep_in_child();
        else
            wait(NULL);
    }
    if (count > 1 && strcmp(words[1], "wait") == 0) {
        char byte;
        puts("ready");
        fflush(stdout);
        while (read(STDIN_FILENO, &byte, 1) > 0)
            ;
    }
    if (count > 4)
        call_library(words[3], strcmp(words[4], "keep") == 0);
    if (count > 2 && strcmp(words[1], "write") == 0) {
        int fd = open(words[2], O_CREAT | O_TRUNC | O_WRONLY, 0600);
        printf("%d\n", hak_write_profile(fd));
    }
    return 0;
}

// thread.c (seam): thread ends through a key of thread-specific data, fork through pthread_atfork.
//
// State: one key, made at start; its value in a thread is 1 while the exit hook is armed. The C
// library clears the value before it calls the hook, so a thread that allocates again in a later
// destructor is armed again and hooked again, PTHREAD_DESTRUCTOR_ITERATIONS rounds in all.
// Written once at start, before or under the gate that all later readers pass: no atomics here.
// Failure: a process that has used up all keys or fork handlers before its first malloc is told on
// standard error and goes on: memory cached by threads that end then stays with their heaps.
#define _GNU_SOURCE 1
#include "thread.h"

#include "os.h"

#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { YIELD_NS = 20000 };

static pthread_key_t exit_key;
static bool exit_key_made;
static void (*exit_hook)(void);

static void run_exit_hook(void *armed)
{
    (void)armed;
    exit_hook();
}

#define SAY(text) hak_os_write_error(text, sizeof(text) - 1)

void hak_thread_start(void (*on_exit)(void), void (*prepare)(void), void (*parent)(void),
                      void (*child)(void))
{
    int saved = errno;
    exit_hook = on_exit;
    exit_key_made = pthread_key_create(&exit_key, run_exit_hook) == 0;
    if (!exit_key_made)
        SAY("hakmem: no thread-specific key left: ended threads keep their caches\n");
    if (pthread_atfork(prepare, parent, child) != 0)
        SAY("hakmem: fork handlers refused: fork is unsafe while other threads allocate\n");
    errno = saved;
}

void hak_thread_watch_exit(void)
{
    int saved = errno;
    if (exit_key_made && pthread_setspecific(exit_key, (void *)1) != 0)
        SAY("hakmem: no memory for a thread's exit hook: its cache stays when it ends\n");
    errno = saved;
}

uint32_t hak_thread_id(void)
{
    return (uint32_t)syscall(SYS_gettid); // cannot fail
}

void hak_thread_yield(void)
{
    // A sleep, so that a waiter of high priority lets the others run; by way of syscall, because
    // the C library's wrapper is a cancellation point and malloc is none.
    struct timespec pause = { .tv_nsec = YIELD_NS };
    int saved = errno;
    syscall(SYS_nanosleep, &pause, NULL);
    errno = saved;
}

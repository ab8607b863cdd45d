// stack.c (seam): stacks by way of the C library's unwinder, which finds frames without pointers to
// them. Its first use loads a library and allocates; later ones do neither.
#define _GNU_SOURCE 1
#include "stack.h"

#include <seam/atomics.h>

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <link.h>
#include <signal.h>

static struct atomic_u32 started;
static struct sigaction before; // written once, before the handler is set

void hak_stack_start(void)
{
    void *frame;
    int saved = errno;
    (void)backtrace(&frame, 1);
    errno = saved;
    store_release(STACK_STARTED, &started, 1);
}

__attribute__((noinline)) uint32_t hak_stack_take(void **frames, uint32_t count_max)
{
    if (load_acquire(STACK_IS_STARTED, &started) == 0)
        return 0;
    int saved = errno;
    int count = backtrace(frames, (int)count_max);
    errno = saved;
    return count > 0 ? (uint32_t)count : 0;
}

const char *hak_stack_module(const void *pc, size_t *offset)
{
    struct dl_find_object found; // glibc 2.35 on: without locks
    if (_dl_find_object((void *)(uintptr_t)pc, &found) != 0)
        return NULL;
    *offset = (uintptr_t)pc - (uintptr_t)found.dlfo_link_map->l_addr;
    const char *name = found.dlfo_link_map->l_name;
    return name[0] != 0 ? name : "program";
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)context;
    int saved = errno;
    hak_on_refused_access(info->si_addr);
    sigaction(number, &before, NULL); // the access is tried again, under the handler that was here
    errno = saved;
}

void hak_stack_watch_access(void)
{
    struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    int saved = errno;
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, &before);
    errno = saved;
}

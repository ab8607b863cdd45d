// step.c: executes one malloc and one free that hit the thread's cache, instruction by instruction,
// and prints where they went: "malloc 0x1180 0x1184 ...", offsets in the library.
//
// A child is traced by its parent. It was forked, so both have the library at the same addresses.
// The child first allocates and frees so much that its cache is neither empty nor full, stops,
// makes the two calls and stops again.
#define _GNU_SOURCE
#include "bench.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define WARM_BLOCKS 64u
#define STEPS_MAX 100000u

static uint64_t bytes = 100;

static const struct bench_option options[] = {
    { "bytes", &bytes, 1, 1 << 30, "size of the block" },
};

static void *(*volatile call_malloc)(size_t) = malloc;
static void (*volatile call_free)(void *) = free;

static __attribute__((noreturn)) void be_traced(void)
{
    static void *warm[WARM_BLOCKS];
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
        bench_die("ptrace: %s", strerror(errno));
    for (unsigned round = 0; round < 100; round++) {
        for (unsigned i = 0; i < WARM_BLOCKS; i++)
            warm[i] = call_malloc(bytes);
        for (unsigned i = 0; i < WARM_BLOCKS; i++)
            call_free(warm[i]);
    }
    for (unsigned i = 0; i < WARM_BLOCKS / 4; i++)
        warm[i] = call_malloc(bytes);
    raise(SIGSTOP);
    void *block = call_malloc(bytes);
    call_free(block);
    raise(SIGSTOP);
    _exit(0);
}

struct position {
    uint64_t pc, sp, return_address; // the last is right at the entry of a function only
};

static struct position position_of(pid_t pid)
{
    struct user_regs_struct regs;
    struct iovec view = { &regs, sizeof regs };
    if (ptrace(PTRACE_GETREGSET, pid, (void *)NT_PRSTATUS, &view))
        bench_die("ptrace: %s", strerror(errno));
#if defined(__x86_64__)
    struct position at = { regs.rip, regs.rsp, 0 };
    errno = 0;
    at.return_address = (uint64_t)ptrace(PTRACE_PEEKDATA, pid, (void *)at.sp, NULL);
    if (errno)
        bench_die("ptrace: %s", strerror(errno));
    return at;
#elif defined(__aarch64__)
    return (struct position){ regs.pc, regs.sp, regs.regs[30] };
#else
#error "step.c: where this machine keeps a function's return address is not known"
#endif
}

// Waits until the child stops; returns the signal.
static int wait_stop(pid_t pid)
{
    int status;
    if (waitpid(pid, &status, 0) < 0 || !WIFSTOPPED(status))
        bench_die("the traced child ended, wait status 0x%x", (unsigned)status);
    return WSTOPSIG(status);
}

static struct position step(pid_t pid)
{
    if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL))
        bench_die("ptrace: %s", strerror(errno));
    int signal = wait_stop(pid);
    if (signal != SIGTRAP)
        bench_die("the traced child got signal %d", signal);
    return position_of(pid);
}

// Steps to the entry of `function`, then prints each instruction until it has returned.
static void print_path(pid_t pid, const char *name, uintptr_t function, uintptr_t base)
{
    struct position at = position_of(pid);
    unsigned steps = 0;
    while (at.pc != function && steps++ < STEPS_MAX)
        at = step(pid);
    printf("%s", name);
    uint64_t back = at.return_address, sp = at.sp;
    for (; !(at.pc == back && at.sp >= sp) && steps++ < STEPS_MAX; at = step(pid))
        printf(" 0x%" PRIx64, at.pc - base);
    if (steps >= STEPS_MAX)
        bench_die("%s: no end after %u instructions", name, STEPS_MAX);
    printf("\n");
}

int main(int argc, char **argv)
{
    bench_options(argc, argv, options, sizeof options / sizeof options[0]);
    void *entries[2] = { dlsym(RTLD_DEFAULT, "malloc"), dlsym(RTLD_DEFAULT, "free") };
    Dl_info info;
    if (!entries[0] || !entries[1] || !dladdr(entries[0], &info))
        bench_die("malloc or free is in no library");
    pid_t pid = fork();
    if (pid < 0)
        bench_die("fork: %s", strerror(errno));
    if (pid == 0)
        be_traced();
    int signal = wait_stop(pid);
    if (signal != SIGSTOP)
        bench_die("the traced child got signal %d", signal);
    print_path(pid, "malloc", (uintptr_t)entries[0], (uintptr_t)info.dli_fbase);
    print_path(pid, "free", (uintptr_t)entries[1], (uintptr_t)info.dli_fbase);
    ptrace(PTRACE_KILL, pid, NULL, NULL);
    waitpid(pid, NULL, 0);
}

// test_stack.c: stacks begin with their taker's callers, addresses are found in their files; and
// what a faster unwinder may get wrong: libraries that go, the loader's lock, signals.
//
// Builds the libraries that it loads with the system's cc; without it that test is skipped.
#define _GNU_SOURCE 1
#include "support.h"

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <seam/stack.h>

enum { FRAMES = 16 };

void hak_on_refused_access(void *address); // sampled.c's, not used here

__attribute__((noinline)) static uint32_t take(void **frames, uint32_t count_max)
{
    uint32_t count = stack_take(frames, count_max);
    __asm__ volatile("" ::: "memory"); // no tail call
    return count;
}

static bool lies_in(const void *pc, const void *function)
{
    return (uintptr_t)pc - (uintptr_t)function < 2048; // with what sanitizers add
}

static void test_frames(void **state)
{
    (void)state;
    void *frames[FRAMES];
    stack_start();
    uint32_t count = take(frames, FRAMES);
    assert_in_range(count, 3, FRAMES);
    bool found = false;
    for (uint32_t i = 0; i < 3; i++)
        found |= lies_in(frames[i], (const void *)take);
    assert_true(found);
    assert_int_equal(take(frames, 2), 2);
}

static void test_modules(void **state)
{
    (void)state;
    size_t offset = 0;
    const char *name = stack_module((const void *)take, &offset);
    assert_non_null(name);
    Dl_info here;
    assert_int_not_equal(dladdr((const void *)take, &here), 0);
    assert_int_equal(offset, (uintptr_t)take - (uintptr_t)here.dli_fbase);
    // A function of the C library that no sanitizer intercepts.
    name = stack_module(dlsym(RTLD_DEFAULT, "gnu_get_libc_version"), &offset);
    assert_non_null(strstr(name, "libc.so"));
    assert_int_not_equal(dladdr(dlsym(RTLD_DEFAULT, "gnu_get_libc_version"), &here), 0);
    assert_int_equal(offset, (uintptr_t)dlsym(RTLD_DEFAULT, "gnu_get_libc_version") -
                                 (uintptr_t)here.dli_fbase);
    int local = 0;
    assert_null(stack_module(&local, &offset));
}

// ---- a library that comes where another was ----

static void *frames_found[FRAMES];
static uint32_t frames_count;

static void take_found(void)
{
    frames_count = take(frames_found, FRAMES);
}

static char folder[] = "/tmp/hakmem-stack-XXXXXX";

// A library with `enter`, which calls what it is given from a frame of so many bytes.
static void build(const char *name, unsigned frame_bytes)
{
    char command[256];
    snprintf(
        command, sizeof command,
        "echo 'void enter(void (*f)(void)) { volatile char a[%u]; a[0] = 1; f(); a[1] = 1; }' |"
        " cc -O1 -xc -shared -fPIC -o %s/%s -",
        frame_bytes, folder, name);
    assert_int_equal(system(command), 0);
}

// Returns where the library's function was.
__attribute__((noinline)) static uintptr_t enter_library(const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CHILD_CHECK(library != NULL);
    void (*enter)(void (*)(void)) = (void (*)(void (*)(void)))dlsym(library, "enter");
    CHILD_CHECK(enter != NULL);
    enter(take_found);
    CHILD_CHECK(dlclose(library) == 0);
    // In this order: the taker, the library, this function.
    uint32_t i = 0;
    while (i < frames_count && !lies_in(frames_found[i], (const void *)enter))
        i++;
    CHILD_CHECK(i > 0 && i + 2 < frames_count);
    CHILD_CHECK(lies_in(frames_found[i - 1], (const void *)take_found));
    CHILD_CHECK(lies_in(frames_found[i + 1], (const void *)enter_library));
    return (uintptr_t)enter;
}

static void come_and_go(const void *argument)
{
    (void)argument;
    stack_start();
    for (int tries = 0; tries < 20; tries++) {
        uintptr_t at = enter_library("large.so");
        if (enter_library("small.so") == at && enter_library("large.so") == at)
            return;
    }
    CHILD_CHECK(!"one library takes the other's place");
}

static void test_unloaded(void **state)
{
    (void)state;
    if (under_a_tool() || system("command -v cc >/dev/null") != 0)
        skip();
    assert_non_null(mkdtemp(folder));
    build("small.so", 4096);
    build("large.so", 131072);
    struct capture capture;
    run_in_child(&capture, come_and_go, NULL);
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
    assert_string_equal(capture.text, "");
    assert_exited(&capture, 0);
}

// ---- a stack while another thread is inside of the loader ----

static pthread_barrier_t locked;

__attribute__((noinline)) static uint32_t take_elsewhere(void **frames)
{
    uint32_t count = stack_take(frames, FRAMES); // from an address that nobody unwound before
    __asm__ volatile("" ::: "memory");
    return count;
}

static void *take_in_thread(void *argument)
{
    void *frames[FRAMES];
    pthread_barrier_wait(&locked);
    uint32_t count = take_elsewhere(frames);
    return count != 0 ? argument : NULL;
}

static int hold_the_lock(struct dl_phdr_info *info, size_t bytes, void *thread)
{
    (void)info;
    (void)bytes;
    struct timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 30;
    pthread_barrier_wait(&locked);
    void *result = NULL;
    int error = pthread_timedjoin_np(*(pthread_t *)thread, &result, &limit);
    return error == 0 && result == &locked ? 1 : 2;
}

static void test_loader_lock(void **state)
{
    (void)state;
    stack_start();
    pthread_t thread;
    assert_int_equal(pthread_barrier_init(&locked, NULL, 2), 0);
    assert_int_equal(pthread_create(&thread, NULL, take_in_thread, &locked), 0);
    assert_int_equal(dl_iterate_phdr(hold_the_lock, &thread), 1);
    assert_int_equal(pthread_barrier_destroy(&locked), 0);
}

// ---- through a signal handler ----

__attribute__((noinline)) static void raise_signal(void)
{
    assert_int_equal(raise(SIGUSR1), 0);
    __asm__ volatile("" ::: "memory");
}

static void on_signal(int number)
{
    (void)number;
    take_found();
}

// On a stack of its own, as handlers of refused accesses may run.
static void test_signal_frame(void **state)
{
    (void)state;
    static char other_stack[1 << 16];
    stack_t there = { .ss_sp = other_stack, .ss_size = sizeof other_stack }, before;
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_ONSTACK };
    stack_start();
    assert_int_equal(sigaltstack(&there, &before), 0);
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    raise_signal();
    signal(SIGUSR1, SIG_DFL);
    assert_int_equal(sigaltstack(&before, NULL), 0);
    bool handler = false, beyond = false;
    for (uint32_t i = 0; i < frames_count; i++) {
        handler |= lies_in(frames_found[i], (const void *)on_signal);
        beyond |= handler && lies_in(frames_found[i], (const void *)raise_signal);
    }
    assert_true(beyond);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames),       cmocka_unit_test(test_modules),
        cmocka_unit_test(test_unloaded),     cmocka_unit_test(test_loader_lock),
        cmocka_unit_test(test_signal_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

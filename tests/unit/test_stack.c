// test_stack.c: stacks begin with their taker's callers, addresses are found in their files.
#define _GNU_SOURCE 1
#include "support.h"

#include <dlfcn.h>
#include <stdlib.h>

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
    return (uintptr_t)pc - (uintptr_t)function < 256;
}

static void test_frames(void **state)
{
    (void)state;
    void *frames[FRAMES];
    assert_int_equal(take(frames, FRAMES), 0); // not started
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_modules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

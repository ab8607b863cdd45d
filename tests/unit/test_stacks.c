// test_stacks.c: no stack before the C library is set up for it, from any thread; then the callers.
#include "support.h"

#include "stacks.h"

#include <errno.h>
#include <pthread.h>

enum { FRAMES = 16 };

__attribute__((noinline)) static uint32_t take(void **frames, uint32_t count_max)
{
    uint32_t count = hak_stacks_take(frames, count_max);
    __asm__ volatile("" ::: "memory"); // no tail call
    return count;
}

static void *take_in_thread(void *count)
{
    void *frames[FRAMES];
    *(uint32_t *)count = take(frames, FRAMES);
    return NULL;
}

static uint32_t count_in_thread(void)
{
    pthread_t thread;
    uint32_t count = UINT32_MAX;
    assert_int_equal(pthread_create(&thread, NULL, take_in_thread, &count), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    return count;
}

static void test_start(void **state)
{
    (void)state;
    void *frames[FRAMES] = { NULL };
    assert_int_equal(take(frames, FRAMES), 0);
    assert_int_equal(count_in_thread(), 0);
    assert_null(frames[0]);
    errno = ENOTTY;
    hak_stacks_start();
    assert_int_equal(errno, ENOTTY);
    uint32_t count = take(frames, FRAMES);
    assert_in_range(count, 3, FRAMES);
    bool found = false;
    for (uint32_t i = 0; i < 3; i++)
        found |= (uintptr_t)frames[i] - (uintptr_t)take < 2048; // with what sanitizers add
    assert_true(found);
    assert_int_equal(take(frames, 2), 2);
    assert_in_range(count_in_thread(), 1, FRAMES);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_start) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

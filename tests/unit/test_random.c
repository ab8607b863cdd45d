// test_random.c: generators differ from each other and in the child of a fork, their numbers are
// even, and without random bytes from the system nothing goes on.
#define _GNU_SOURCE 1
#include "support.h"

#include "fault.h"
#include "hakmem.h"
#include "random.h"
#include <seam/os.h>

// In front of os.c (LDFLAGS_test_random).
static bool entropy_fails;
bool __real_hak_os_entropy(void *out, size_t bytes);
bool __wrap_hak_os_entropy(void *out, size_t bytes);
bool __wrap_hak_os_entropy(void *out, size_t bytes)
{
    return !entropy_fails && __real_hak_os_entropy(out, bytes);
}

static void test_generators_differ(void **state)
{
    (void)state;
    struct random_source a = { 0 }, b = { 0 };
    unsigned equal = 0;
    for (unsigned i = 0; i < 1000; i++)
        equal += hak_random_bits(&a, 32) == hak_random_bits(&b, 32);
    assert_in_range(equal, 0, 5);
}

// Chi-square with 15 degrees of freedom: 60 is exceeded once in four million runs.
static void test_even(void **state)
{
    (void)state;
    enum { CELLS = 16, EACH = 4000 };
    struct random_source r = { 0 };
    unsigned count[CELLS] = { 0 };
    for (unsigned i = 0; i < CELLS * EACH; i++) {
        uint32_t at = hak_random_below(&r, CELLS);
        assert_in_range(at, 0, CELLS - 1);
        count[at]++;
    }
    double sum = 0;
    for (unsigned i = 0; i < CELLS; i++)
        sum += ((double)count[i] - EACH) * ((double)count[i] - EACH) / EACH;
    assert_true(sum < 60);
}

static struct random_source source;

static uint32_t own_word(void)
{
    return hak_random_bits(&source, 32);
}

// What `word` gives after a fork is not the same in parent and child. The allocator's own fork
// handlers see to that, in flavours that need it.
static void expect_fork_differs(uint32_t (*word)(void))
{
    uint32_t parent[8], child[8];
    int pipes[2];
    hak_free(hak_malloc(1)); // the handlers are registered
    (void)word();
    assert_int_equal(pipe(pipes), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (!USES_RANDOM)
            hak_random_after_fork();
        for (unsigned i = 0; i < 8; i++)
            child[i] = word();
        _exit(write(pipes[1], child, sizeof child) != sizeof child);
    }
    for (unsigned i = 0; i < 8; i++)
        parent[i] = word();
    assert_int_equal(read(pipes[0], child, sizeof child), sizeof child);
    waitpid(pid, NULL, 0);
    close(pipes[0]);
    close(pipes[1]);
    assert_memory_not_equal(parent, child, sizeof parent);
}

static void test_fork(void **state)
{
    (void)state;
    expect_fork_differs(own_word);
}

static void test_fork_shared(void **state)
{
    (void)state;
    hak_random_start();
    expect_fork_differs(hak_random_shared);
}

static void use_without_entropy(const void *argument)
{
    (void)argument;
    struct random_source r = { 0 };
    entropy_fails = true;
    (void)hak_random_bits(&r, 32);
}

static void test_no_entropy(void **state)
{
    (void)state;
    struct capture capture;
    run_in_child(&capture, use_without_entropy, NULL);
    assert_aborted(&capture);
    assert_non_null(strstr(capture.text, "hakmem: no random bytes from the system for 0x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_generators_differ),
        cmocka_unit_test(test_even),
        cmocka_unit_test(test_fork),
        cmocka_unit_test(test_fork_shared),
        cmocka_unit_test(test_no_entropy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

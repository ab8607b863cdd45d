// test_check.c: a failed assertion is one line and SIGABRT in a checked build, nothing in others.
#define _GNU_SOURCE 1
#include "support.h"

#include "check.h"

static void fail_assertion(const void *argument)
{
    hak_assert_failed(argument, "some/file.c", 42);
}

static void test_assertion(void **state)
{
    (void)state;
    struct capture capture;
    run_in_child(&capture, fail_assertion, "a == b");
    assert_aborted(&capture);
    assert_string_equal(capture.text, "hakmem: assertion failed: a == b (some/file.c:42)\n");
    assert_int_equal(capture.writes, 1);
}

static unsigned evaluations;

static bool evaluate(const void *value)
{
    evaluations++;
    return value != NULL;
}

static void assert_value(const void *value)
{
    HAK_ASSERT(evaluate(value));
}

// Checked builds stop at a false condition; others do not even evaluate it.
static void test_macro(void **state)
{
    (void)state;
    struct capture capture;
    assert_value("true");
    assert_int_equal(evaluations, HAK_CHECKED);
    run_in_child(&capture, assert_value, NULL);
    if (HAK_CHECKED) {
        assert_aborted(&capture);
        assert_non_null(strstr(capture.text, "assertion failed: evaluate(value) ("));
    } else {
        assert_exited(&capture, 0);
        assert_string_equal(capture.text, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_assertion),
        cmocka_unit_test(test_macro),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

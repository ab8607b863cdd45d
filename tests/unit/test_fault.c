// test_fault.c: each fault ends the process with SIGABRT after one exact line in one write.
#define _GNU_SOURCE 1
#include "support.h"

#include <stdio.h>

#include "config.h"
#include "fault.h"
#include "sizeclass.h"

struct fault_case {
    enum fault what;
    unsigned tag;
};

#define PLACE ((const void *)0x7f0123456780)

static void raise_fault(const void *argument)
{
    const struct fault_case *c = argument;
    hak_fault(c->what, PLACE, c->tag);
}

static void expect_line(enum fault what, unsigned tag, const char *line)
{
    struct fault_case c = { what, tag };
    struct capture capture;
    run_in_child(&capture, raise_fault, &c);
    assert_aborted(&capture);
    assert_string_equal(capture.text, line);
    assert_int_equal(capture.writes, 1);
}

static void test_texts(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "double free of",
        "invalid free of",
        "free of never allocated",
        "invalid realloc of",
        "realloc of foreign pointer",
        "invalid malloc_usable_size of",
        "malloc_usable_size of foreign pointer",
        "sized free with wrong size of",
        "corrupt record for",
        "free of foreign pointer",
        "write after free of",
        "write past the end of",
        "no random bytes from the system for",
        "use after free of",
        "access out of bounds of",
        "write before the begin of",
    };
    assert_int_equal(sizeof texts / sizeof texts[0], FAULT_COUNT);
    for (unsigned what = 0; what < FAULT_COUNT; what++) {
        char line[128];
        snprintf(line, sizeof line, "hakmem: %s 0x7f0123456780 (no block)\n", texts[what]);
        expect_line((enum fault)what, TAG_NONE, line);
    }
}

static void test_places(void **state)
{
    (void)state;
    expect_line(FAULT_DOUBLE_FREE, 5,
                "hakmem: double free of 0x7f0123456780 (class 5, 80 bytes)\n");
    expect_line(FAULT_DOUBLE_FREE, TAG_LARGE, "hakmem: double free of 0x7f0123456780 (large)\n");
    expect_line(FAULT_DOUBLE_FREE, TAG_HUGE, "hakmem: double free of 0x7f0123456780 (huge)\n");
    expect_line(FAULT_DOUBLE_FREE, TAG_EMPTY, "hakmem: double free of 0x7f0123456780 (0 bytes)\n");
    expect_line(FAULT_DOUBLE_FREE, 255,
                "hakmem: double free of 0x7f0123456780 (unknown tag 255)\n");
    char line[128];
    snprintf(line, sizeof line, "hakmem: double free of 0x7f0123456780 (class %u, %zu bytes)\n",
             CLASS_LAST, CLASS_SIZE_MAX);
    expect_line(FAULT_DOUBLE_FREE, CLASS_LAST, line);
}

static void raise_bytes(const void *argument)
{
    (void)argument;
    hak_fault_bytes(FAULT_OVERFLOW, PLACE, 5, 72, 0x1122334455667700, 0x1122004405667700);
}

static void test_bytes(void **state)
{
    (void)state;
    struct capture capture;
    run_in_child(&capture, raise_bytes, NULL);
    assert_aborted(&capture);
    assert_string_equal(capture.text, "hakmem: write past the end of 0x7f0123456780 (class 5, 80 "
                                      "bytes) at byte 75: 55 44 33, now 05 44 00\n");
    assert_int_equal(capture.writes, 1);
}

static int start(void **state)
{
    (void)state;
    hak_classes_start((size_t)128 << 10);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_bytes),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}

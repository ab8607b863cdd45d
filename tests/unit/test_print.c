// test_print.c: formatting, cut-off, flushing to a descriptor.
#define _GNU_SOURCE 1
#include "support.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "print.h"

#define EXPECT(expected, call)                            \
    do {                                                  \
        char buffer[256];                                 \
        struct printer out;                               \
        hak_print_to_buffer(&out, buffer, sizeof buffer); \
        call;                                             \
        assert_true(hak_print_end(&out));                 \
        assert_string_equal(buffer, expected);            \
    } while (0)

static void test_numbers(void **state)
{
    (void)state;
    uint64_t values[128];
    unsigned n = 0;
    for (unsigned bit = 0; bit < 64; bit++) {
        values[n++] = (uint64_t)1 << bit;
        values[n++] = ((uint64_t)1 << bit) - 1;
    }
    values[0] = UINT64_MAX;
    for (unsigned i = 0; i < n; i++) {
        char expected[64];
        snprintf(expected, sizeof expected, "%" PRIu64, values[i]);
        EXPECT(expected, hak_put_decimal(&out, values[i]));
        snprintf(expected, sizeof expected, "0x%" PRIx64, values[i]);
        EXPECT(expected, hak_put_hex(&out, values[i]));
        snprintf(expected, sizeof expected, "%24" PRIu64 "|", values[i]);
        EXPECT(expected, (hak_put_decimal_column(&out, values[i], 24), hak_put_text(&out, "|")));
        snprintf(expected, sizeof expected, "%3" PRIu64 "|", values[i]);
        EXPECT(expected, (hak_put_decimal_column(&out, values[i], 3), hak_put_text(&out, "|")));
    }
}

static void test_fixed(void **state)
{
    (void)state;
    EXPECT("0.0", hak_put_fixed(&out, 0, 1 << 20));
    EXPECT("1.3", hak_put_fixed(&out, 1310720, 1 << 20)); // 1.25 rounds up
    EXPECT("1.0", hak_put_fixed(&out, (1 << 20) - 1, 1 << 20));
    EXPECT("0.9", hak_put_fixed(&out, 949, 1000));
    EXPECT("1.0", hak_put_fixed(&out, 950, 1000));
    EXPECT("7.0", hak_put_fixed(&out, 7, 1));
    EXPECT("18446744073709551615.0", hak_put_fixed(&out, UINT64_MAX, 1));
    EXPECT("16.0", hak_put_fixed(&out, UINT64_MAX, (uint64_t)1 << 60));
    EXPECT("   2.5", hak_put_fixed_column(&out, 5, 2, 6));
}

static void test_text(void **state)
{
    (void)state;
    EXPECT("", hak_put_text(&out, ""));
    EXPECT("ab  |", (hak_put_text_column(&out, "ab", 4), hak_put_text(&out, "|")));
    EXPECT("abcde|", (hak_put_text_column(&out, "abcde", 4), hak_put_text(&out, "|")));
    EXPECT("a?b?~?", hak_put_untrusted(&out, "a\nb\x7f~\xff", 6));
    char many[65];
    memset(many, 'x', sizeof many);
    char expected[80] = { 0 };
    memset(expected, 'x', 64);
    EXPECT(expected, hak_put_untrusted(&out, many, 64));
    strcat(expected, "...");
    EXPECT(expected, hak_put_untrusted(&out, many, 65));
}

static void test_json(void **state)
{
    (void)state;
    bool first = true;
    EXPECT("\"a\": 1, \"b\": 0",
           (hak_put_json(&out, &first, "a", 1), hak_put_json(&out, &first, "b", 0)));
}

// Every capacity against the text cut off there; nothing is written beyond the capacity.
static void test_cut_off(void **state)
{
    (void)state;
    const char *whole = "live 12345 at 0xff";
    for (size_t capacity = 2; capacity <= strlen(whole) + 2; capacity++) {
        char buffer[64];
        memset(buffer, '#', sizeof buffer);
        struct printer out;
        hak_print_to_buffer(&out, buffer, capacity);
        assert_string_equal(buffer, "");
        hak_put_text(&out, "live ");
        hak_put_decimal(&out, 12345);
        hak_put_text(&out, " at ");
        hak_put_hex(&out, 255);
        bool fits = capacity > strlen(whole);
        assert_int_equal(hak_print_end(&out), fits);
        assert_int_equal(strlen(buffer), fits ? strlen(whole) : capacity - 1);
        assert_memory_equal(buffer, whole, strlen(buffer));
        for (size_t i = capacity; i < sizeof buffer; i++)
            assert_int_equal(buffer[i], '#');
    }
}

// A descriptor gets the whole text whatever the size of the buffer between.
static void test_descriptor(void **state)
{
    (void)state;
    for (size_t capacity = 2; capacity < 40; capacity++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        char buffer[64], got[64] = { 0 };
        struct printer out;
        hak_print_to_fd(&out, buffer, capacity, ends[1]);
        hak_put_text(&out, "0123456789");
        hak_put_decimal_column(&out, 42, 12);
        assert_true(hak_print_end(&out));
        assert_true(hak_print_end(&out)); // again: nothing is written twice
        close(ends[1]);
        size_t length = 0;
        for (ssize_t n; (n = read(ends[0], got + length, sizeof got - 1 - length)) > 0;)
            length += (size_t)n;
        close(ends[0]);
        assert_string_equal(got, "0123456789          42");
    }
}

static void test_refused_descriptor(void **state)
{
    (void)state;
    char buffer[4];
    struct printer out;
    hak_print_to_fd(&out, buffer, sizeof buffer, 1 << 20);
    errno = 77;
    hak_put_text(&out, "more than the buffer holds");
    assert_false(hak_print_end(&out));
    assert_int_equal(errno, 77);
}

static void test_error_line(void **state)
{
    (void)state;
    char buffer[8];
    struct printer out;
    struct capture capture;
    capture_error_begin(&capture);
    hak_print_to_buffer(&out, buffer, sizeof buffer);
    hak_put_text(&out, "abc");
    hak_print_error_line(&out);
    hak_print_to_buffer(&out, buffer, sizeof buffer);
    hak_put_text(&out, "abcdefghij");
    hak_print_error_line(&out);
    capture_error_end(&capture);
    assert_string_equal(capture.text, "abc\nabcdef\n");
    assert_int_equal(capture.writes, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_fixed),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_cut_off),
        cmocka_unit_test(test_descriptor),
        cmocka_unit_test(test_refused_descriptor),
        cmocka_unit_test(test_error_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

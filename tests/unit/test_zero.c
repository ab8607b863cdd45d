// test_zero.c: every length, with a byte that is not zero at every place; nothing beside is
// touched.
#include "support.h"

#include <seam/processor.h>

#include "zero.h"

enum { LENGTH_MAX = 2048, MARGIN = 64 };

static _Alignas(64) unsigned char area[LENGTH_MAX + 2 * MARGIN];

static bool is_zero(const void *p, size_t bytes)
{
    return bytes <= ZERO_SHORT_MAX ? hak_zero_is_short(p, bytes) : hak_zero_is_long(p, bytes);
}

static void clear(void *p, size_t bytes)
{
    if (bytes <= ZERO_SHORT_MAX)
        hak_zero_set_short(p, bytes);
    else
        hak_zero_set_long(p, bytes);
}

// A long piece may begin and end anywhere; what lies beside it does not count.
static void check_piece(unsigned char *p, size_t bytes)
{
    memset(area, 0xff, sizeof area);
    memset(p, 0, bytes);
    assert_true(hak_zero_is_long(p, bytes));
    for (size_t i = 0; i < bytes; i += i < 64 || i + 65 > bytes ? 1 : 31) {
        p[i] = 1;
        assert_false(hak_zero_is_long(p, bytes));
        p[i] = 0;
    }
}

static void check_length(unsigned char *p, size_t bytes)
{
    memset(area, 0xff, sizeof area);
    clear(p, bytes);
    assert_int_equal(p[-1], 0xff);
    assert_int_equal(p[bytes], 0xff);
    assert_true(is_zero(p, bytes));
    for (size_t i = 0; i < bytes; i += bytes < 300 ? 1 : 7) {
        p[i] = 0x80;
        assert_false(is_zero(p, bytes));
        assert_true(bytes < ZERO_SHORT_MAX || !hak_zero_is_long(p, bytes));
        p[i] = 0;
    }
    p[bytes - 1] = 1;
    assert_false(is_zero(p, bytes));
}

static void check_all(void)
{
    for (size_t bytes = 16; bytes <= LENGTH_MAX; bytes += 16) {
        check_length(area + MARGIN, bytes);
        check_length(area + MARGIN - 16, bytes); // no multiple of a wide vector's length
    }
    for (size_t bytes = ZERO_SHORT_MAX; bytes <= ZERO_SHORT_MAX + 300; bytes++)
        check_piece(area + MARGIN + bytes % 19, bytes);
}

static void test_narrow(void **state)
{
    (void)state;
    hak_zero_width.wide = false;
    check_all();
}

static void test_widest(void **state)
{
    (void)state;
    hak_zero_start();
    assert_int_equal(hak_zero_width.wide, vectors_are_wide());
    check_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_narrow),
        cmocka_unit_test(test_widest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

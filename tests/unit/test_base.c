// test_base.c: alignment arithmetic and bit positions against their definitions.
#include "support.h"

#include "base.h"

static void test_rounding(void **state)
{
    (void)state;
    for (size_t step = 1; step <= 256; step *= 2) {
        for (size_t n = 0; n < 1024; n++) {
            size_t up = round_up(n, step), down = round_down(n, step);
            assert_true(up >= n && up < n + step && up % step == 0);
            assert_true(down <= n && n < down + step && down % step == 0);
        }
    }
    assert_int_equal(round_up(SIZE_MAX - 4095, 4096), SIZE_MAX - 4095);
    assert_int_equal(round_down(SIZE_MAX, 4096), SIZE_MAX - 4095);
}

static void test_powers(void **state)
{
    (void)state;
    assert_false(is_power_of_two(0));
    for (unsigned bit = 0; bit < 64; bit++) {
        uint64_t power = (uint64_t)1 << bit;
        assert_true(is_power_of_two(power));
        assert_int_equal(is_power_of_two(power + 1), power == 1);
        assert_int_equal(is_power_of_two(power - 1), power == 2 || power - 1 == 2);
    }
}

static void test_bits(void **state)
{
    (void)state;
    for (unsigned low = 0; low < 64; low++) {
        for (unsigned high = low; high < 64; high++) {
            uint64_t x = (uint64_t)1 << low | (uint64_t)1 << high;
            assert_int_equal(lowest_bit(x), low);
            assert_int_equal(highest_bit(x), high);
            uint64_t between = (((uint64_t)1 << high) - 1) & ~(((uint64_t)1 << low) - 1);
            assert_int_equal(lowest_bit(x | between), low);
            assert_int_equal(highest_bit(x | between), high);
        }
    }
}

static void test_extremes(void **state)
{
    (void)state;
    assert_int_equal(min_size(0, SIZE_MAX), 0);
    assert_int_equal(min_size(7, 7), 7);
    assert_int_equal(max_size(0, SIZE_MAX), SIZE_MAX);
    assert_int_equal(max_size(3, 2), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_powers),
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

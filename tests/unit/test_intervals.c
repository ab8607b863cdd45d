// test_intervals.c: intervals are exponential and weights exact, against the C library's functions.
#define _GNU_SOURCE 1
#include "support.h"

#include <math.h>

#include "intervals.h"

enum { DRAWS = 200000 };

static void test_weights(void **state)
{
    (void)state;
    const uint64_t averages[] = { 1, 100, 4096, 524288, UINT64_C(1) << 40 };
    for (unsigned a = 0; a < sizeof averages / sizeof *averages; a++)
        for (size_t n = 1; n < (size_t)1 << 46; n = n * 5 / 4 + 1) {
            double expected = -1 / expm1(-(double)n / (double)averages[a]);
            double got = hak_interval_weight(n, averages[a]);
            assert_true(fabs(got / expected - 1) < 1e-13);
        }
    assert_true(hak_interval_weight(SIZE_MAX / 2, 1) == 1);
}

// The share of intervals below x, for several x, is 1 - exp(-x): within four standard deviations.
static void test_distribution(void **state)
{
    (void)state;
    const double at[] = { 0.001, 0.01, 0.1, 0.5, 1, 2, 4, 8 };
    enum { POINTS = sizeof at / sizeof *at };
    const uint64_t average = 524288;
    unsigned below[POINTS] = { 0 };
    double sum = 0;
    uint64_t random = 7;
    for (unsigned i = 0; i < DRAWS; i++) {
        int64_t interval = hak_interval_next(&random, average);
        assert_true(interval >= 0);
        sum += (double)interval;
        for (unsigned k = 0; k < POINTS; k++)
            below[k] += (double)interval < at[k] * (double)average;
    }
    assert_true(fabs(sum / DRAWS / (double)average - 1) < 4 / sqrt(DRAWS));
    for (unsigned k = 0; k < POINTS; k++) {
        double p = -expm1(-at[k]);
        assert_true(fabs(below[k] / (double)DRAWS - p) < 4 * sqrt(p * (1 - p) / DRAWS));
    }
}

// What is left of an interval is distributed as a whole one: a count of blocks by weights is right.
static void test_unbiased(void **state)
{
    (void)state;
    const size_t sizes[] = { 1, 16, 100, 1000, 4096, 10000, 100000 };
    const uint64_t average = 4096;
    for (unsigned k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        uint64_t random = hak_interval_seed(11, k);
        int64_t left = hak_interval_next(&random, average);
        double estimate = 0, weight = hak_interval_weight(sizes[k], average);
        for (unsigned i = 0; i < DRAWS; i++)
            if ((left -= (int64_t)sizes[k]) < 0) {
                left = hak_interval_next(&random, average);
                estimate += weight;
            }
        assert_true(fabs(estimate - DRAWS) < 4 * sqrt(DRAWS * (weight - 1)) + 1);
    }
}

static void test_bounds(void **state)
{
    (void)state;
    uint64_t random = 1, other = 1, third = hak_interval_seed(1, 0);
    int64_t largest = 0;
    bool differs = false;
    for (unsigned i = 0; i < DRAWS; i++) {
        int64_t interval = hak_interval_next(&random, UINT64_C(1) << 60);
        assert_true(interval >= 0 && interval <= (int64_t)1 << 60);
        assert_int_equal(hak_interval_next(&other, UINT64_C(1) << 60), interval);
        differs |= hak_interval_next(&third, UINT64_C(1) << 60) != interval;
        largest = interval > largest ? interval : largest;
    }
    assert_int_equal(largest, (int64_t)1 << 60);
    assert_true(differs);
    assert_true(hak_interval_seed(1, 0) != hak_interval_seed(1, 1));
    assert_true(hak_interval_seed(1, 0) != hak_interval_seed(2, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_distribution),
        cmocka_unit_test(test_unbiased),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// test_types.c: units that were a slab serve again as one of the same class from the same unit on,
// whatever is asked for in between; large blocks stay among themselves; in need all is taken.
#define _GNU_SOURCE 1
#include "support.h"

#include "pool.h"
#include "sizeclass.h"
#include "types.h"

enum { SUPERSLABS = 4, FIRST = 5, SECOND = 6 };

static int start(void **state)
{
    (void)state;
    hak_classes_start((size_t)128 << 10);
    if (!hak_arena_start(SUPERSLABS * SUPERSLAB_SIZE))
        return -1;
    hak_superslabs_start();
    hak_pool_start();
    return 0;
}

static struct run acquire(unsigned kind, unsigned units, enum pool_effort effort)
{
    struct run r = { 0, 0, 0 };
    if (hak_pool_acquire_kind(kind, units, units, 1, effort, &r) == POOL_NONE)
        r.units = 0;
    return r;
}

static bool overlap(const struct run *a, const struct run *b)
{
    return a->unit < b->unit + b->units && b->unit < a->unit + a->units;
}

static void test_classes(void **state)
{
    (void)state;
    if (!MITIGATE_TYPES)
        skip();
    struct run a = acquire(FIRST, 3, POOL_ANY), b = acquire(FIRST, 3, POOL_ANY);
    assert_true(a.units == 3 && b.units == 3);
    hak_pool_release(a.unit, 3, 0);
    hak_pool_release(b.unit, 3, 0);
    for (unsigned round = 0; round < 40; round++) {
        unsigned units = round % 2 == 0 ? 3 : 2; // also of the same class, of another length
        struct run other = acquire(units == 3 ? SECOND : FIRST, units, POOL_ANY);
        struct run large = acquire(KIND_LARGE, 3, POOL_ANY);
        assert_true(other.units == units && large.units == 3);
        assert_false(overlap(&other, &a) || overlap(&other, &b));
        assert_false(overlap(&large, &a) || overlap(&large, &b));
        struct run again = acquire(FIRST, 3, POOL_ANY);
        assert_true(again.unit == a.unit || again.unit == b.unit);
        hak_pool_release(other.unit, units, 0);
        hak_pool_release(large.unit, 3, 0);
        hak_pool_release(again.unit, 3, 0);
    }
    assert_int_equal(hak_types_mixed(), 0);
}

static void test_huge(void **state)
{
    (void)state;
    if (!MITIGATE_TYPES)
        skip();
    struct run huge, slab = acquire(FIRST, 1, POOL_ANY);
    assert_int_equal(slab.units, 1);
    hak_pool_release(slab.unit, 1, 0);
    assert_int_not_equal(hak_pool_acquire_huge(SUPERSLAB_UNITS + 2, 1, false, &huge), POOL_NONE);
    assert_false(overlap(&huge, &slab));
    uint32_t behind = huge.unit + huge.units;
    hak_types_set(behind, 1, FIRST);
    assert_false(hak_types_allow_large(behind, 1));
    assert_false(hak_pool_extend(behind, 1));
    hak_pool_release_huge(huge.unit, huge.units, true, 0);
    slab = acquire(SECOND, 4, POOL_ANY);
    assert_true(slab.units == 0 || !overlap(&huge, &slab));
    if (slab.units != 0)
        hak_pool_release(slab.unit, slab.units, 0);
}

// When nothing else is left a unit changes its kind, and that is counted.
static void test_need(void **state)
{
    (void)state;
    if (!MITIGATE_TYPES)
        skip();
    uint64_t before = hak_types_mixed();
    unsigned count = 0;
    while (acquire(SECOND, 1, POOL_ANY).units != 0)
        count++;
    assert_int_equal(hak_types_mixed(), before);
    while (acquire(SECOND, 1, POOL_EXHAUSTIVE).units != 0)
        count++;
    assert_true(hak_types_mixed() > before);
    assert_int_equal(count, SUPERSLABS * SUPERSLAB_UNITS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_huge),
        cmocka_unit_test(test_need),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}

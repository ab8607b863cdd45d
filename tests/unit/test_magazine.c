// test_magazine.c: capacities of a magazine against a plain array of what was pushed.
#include "support.h"

#include <stdlib.h>

#include "arena.h"
#include "magazine.h"
#include "meta.h"

static int start(void **state)
{
    (void)state;
    if (!hak_arena_start(ARENA_SIZE_MAX >> SMALL_OR(0, 8)))
        return -1;
    hak_meta_start();
    return 0;
}

static void *block(size_t i)
{
    return hak_arena.base + i * MALLOC_ALIGN;
}

static void check(const struct magazine *m, uint32_t count, uint32_t capacity)
{
    assert_true(hak_magazine_ok(m));
    assert_int_equal(hak_magazine_count(m), count);
    assert_int_equal(own_load(&m->capacity), capacity);
    assert_true(m->room >= capacity);
}

// Without a capacity it is empty and full; one of no heap is full and may be popped from too.
static void test_none(void **state)
{
    (void)state;
    struct magazine none = NO_MAGAZINE, nothing = { 0 };
    check(&none, 0, 0);
    assert_null(hak_magazine_pop(&none));
    assert_false(hak_magazine_push(&none, block(1)));
    assert_null(hak_magazine_pop_any(&none));
    assert_null(hak_magazine_pop_any(&nothing));
    assert_false(hak_magazine_push(&nothing, block(1)));
}

static void test_random(void **state)
{
    (void)state;
    static void *model[MAGAZINE_BLOCKS_MAX];
    struct magazine m = NO_MAGAZINE;
    uint32_t count = 0, capacity = 0;
    unsigned seed = 1;
    for (int step = 0; step < 200000; step++) {
        unsigned r = (unsigned)rand_r(&seed);
        if (r % 100 == 0) {
            uint32_t wanted = (1u << r / 100 % (highest_bit(MAGAZINE_BLOCKS_MAX) + 2)) - 1;
            if (wanted >= count) {
                assert_true(hak_magazine_resize(&m, wanted));
                capacity = wanted;
            }
        } else if (r % 2 == 0) {
            bool pushed = hak_magazine_push(&m, block(r % 1000));
            assert_int_equal(pushed, count < capacity);
            if (pushed)
                model[count++] = block(r % 1000);
        } else {
            assert_ptr_equal(hak_magazine_pop(&m), count == 0 ? NULL : model[count - 1]);
            count -= count != 0;
        }
        check(&m, count, capacity);
    }
}

// Few blocks move after the first miss of a kind, half of the capacity after the last.
static void test_batch(void **state)
{
    (void)state;
    struct magazine m = NO_MAGAZINE;
    for (uint32_t capacity = 1; capacity <= MAGAZINE_BLOCKS_MAX; capacity = 2 * capacity + 1) {
        assert_true(hak_magazine_resize(&m, capacity));
        uint32_t before = 1;
        for (m.run = 0; m.run <= MAGAZINE_RUN_MAX; m.run++) {
            uint32_t batch = hak_magazine_batch(&m);
            assert_true(batch >= before && batch <= 2 * before + MAGAZINE_BATCH_LEAST);
            before = batch;
        }
        assert_int_equal(before, (capacity + 1) / 2);
    }
    m.run = 0;
    assert_true(hak_magazine_batch(&m) <= MAGAZINE_BATCH_LEAST ||
                hak_magazine_batch(&m) == (MAGAZINE_BLOCKS_MAX + 1) / 2 >> MAGAZINE_RUN_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_batch),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}

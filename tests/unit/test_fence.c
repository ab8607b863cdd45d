// test_fence.c: the guards of a block follow its end, what was behind one reads as zero, and where
// the system refuses the block stays as it is.
#define _GNU_SOURCE 1
#include "support.h"

#include <seam/os.h>

#include "fence.h"
#include "guard.h"
#include "pool.h"

enum { UNITS = 4, LEAD = 1 };

static size_t page;

static int start(void **state)
{
    (void)state;
    page = os_page_size();
    hak_classes_start((size_t)128 << 10);
    if (!hak_arena_start(8 * SUPERSLAB_SIZE))
        return -1;
    hak_superslabs_start();
    hak_guard_start(8);
    hak_pool_start();
    return 0;
}

static void touch(const void *p)
{
    *(volatile char *)(uintptr_t)p = 1;
}

static bool is_accessible(const void *p)
{
    struct capture capture;
    run_in_child(&capture, touch, p);
    return !WIFSIGNALED(capture.status);
}

// The block ends at `end`, and a guard begins there.
static void expect_end(const struct slab *s, size_t end)
{
    char *base = hak_slab_base(s);
    assert_true(is_accessible(base + end - 1));
    assert_false(is_accessible(base + end));
    assert_false(is_accessible(base + UNITS * UNIT_SIZE - 1));
    assert_false(is_accessible(base - 1));
    assert_int_equal(own_load(&s->touched), UNITS * UNIT_SIZE - end);
    assert_int_equal(hak_inaccessible_bytes(), UNITS * UNIT_SIZE - end + LEAD * UNIT_SIZE);
    assert_int_equal(s->place, 2);
}

static void test_life(void **state)
{
    (void)state;
    if (!MITIGATE_GUARDS)
        skip();
    struct run r;
    assert_int_not_equal(hak_pool_acquire(LEAD + UNITS, LEAD + UNITS, 1, POOL_ANY, &r), POOL_NONE);
    struct slab *s = hak_slab_at(r.unit + LEAD);
    uint32_t guards = hak_guards();
    size_t end = 2 * UNIT_SIZE;
    hak_slab_begin_block(s, SLAB_LARGE, UNITS, end);
    hak_fence_set(s, LEAD, end);
    assert_int_equal(hak_guards(), guards + 2);
    expect_end(s, end);
    memset(hak_slab_base(s), 1, end);
    assert_true(hak_fence_move(s, end, false)); // where it is
    assert_true(hak_fence_move(s, end - UNIT_SIZE, false));
    expect_end(s, end - UNIT_SIZE);
    assert_true(hak_fence_move(s, end + UNIT_SIZE, false));
    expect_end(s, end + UNIT_SIZE);
    for (size_t i = end - UNIT_SIZE; i < end + UNIT_SIZE; i++)
        assert_int_equal(hak_slab_base(s)[i], 0);
    // It grows: the guard moves by half of what is behind it, and then not for each step.
    assert_true(hak_fence_move(s, end, false));
    assert_true(hak_fence_grow(s, end));
    expect_end(s, end);
    size_t grown = end + UNIT_SIZE + (UNITS * UNIT_SIZE - end - UNIT_SIZE) / 2;
    grown = round_down(grown, os_page_size());
    assert_true(hak_fence_grow(s, end + UNIT_SIZE));
    expect_end(s, grown);
    assert_true(hak_fence_grow(s, grown));
    expect_end(s, grown);
    assert_true(hak_fence_move(s, end + UNIT_SIZE, false));
    // Held back, and again with another end.
    assert_true(os_protect_none(hak_slab_base(s), end + UNIT_SIZE));
    assert_true(hak_fence_open(s, end));
    expect_end(s, end);
    // To its last byte: then there is none, and later one again.
    assert_true(hak_fence_move(s, UNITS * UNIT_SIZE, false));
    assert_true(is_accessible(hak_slab_base(s) + UNITS * UNIT_SIZE - 1));
    assert_int_equal(s->place, 1);
    assert_true(hak_fence_move(s, end, false));
    expect_end(s, end);
    assert_true(hak_fence_remove_last(s));
    assert_true(is_accessible(hak_slab_base(s) + end));
    hak_fence_drop(s);
    assert_int_equal(hak_guards(), guards);
    assert_int_equal(hak_inaccessible_bytes(), 0);
}

static void test_margin(void **state)
{
    (void)state;
    struct random_source random = { 0 };
    unsigned seen_behind = 0, seen_before = 0;
    for (unsigned i = 0; i < 200; i++) {
        struct margin m = hak_fence_margin(&random, 2);
        assert_true(m.before == 2 || (GUARD_FIRST_BITS != 0 && m.before == 4));
        assert_true(m.behind < 1u << GUARD_RANDOM_BITS);
        seen_before |= m.before;
        seen_behind |= 1u << m.behind;
    }
    assert_int_equal(seen_behind, (1u << (1u << GUARD_RANDOM_BITS)) - 1);
    assert_int_equal(seen_before, GUARD_FIRST_BITS != 0 ? 6 : 2);
    assert_int_equal(hak_fence_margin(&random, SUPERSLAB_UNITS + 1).before, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_margin),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}

// test_recent.c: runs of the length that was asked for last are kept and come back, newest first;
// within their bounds; and nothing else is kept.
#include "support.h"

#include "large.h"
#include "pool.h"
#include "recent.h"

static struct recent recent;

static int start(void **state)
{
    (void)state;
    hak_classes_start((size_t)128 << 10);
    if (!hak_arena_start(ARENA_SIZE_MAX >> SMALL_OR(0, 8)))
        return -1;
    hak_superslabs_start();
    hak_pool_start();
    return 0;
}

static int begin(void **state)
{
    (void)state;
    recent = (struct recent){ 0 };
    return 0;
}

// Nothing is left of a test in the pool's hands but free units.
static int end(void **state)
{
    (void)state;
    hak_recent_release(&recent);
    return recent.count != 0;
}

// A large block that was freed.
static struct slab *freed(unsigned units)
{
    struct run r;
    assert_true(hak_pool_acquire(units, units, 1, POOL_EXHAUSTIVE, &r) != POOL_NONE);
    struct slab *s = hak_slab_at(r.unit);
    hak_slab_begin_block(s, SLAB_LARGE, units, units * UNIT_SIZE);
    return s;
}

static void give(struct slab *s)
{
    uint32_t units = own_load(&s->units);
    hak_slab_end(s);
    hak_pool_release(hak_slab_unit(s), units, 0);
}

static void test_newest_first(void **state)
{
    (void)state;
    struct slab *s[3];
    assert_null(hak_recent_take(&recent, 3));
    for (unsigned i = 0; i < 3; i++)
        assert_true(hak_recent_keep(&recent, s[i] = freed(3), i));
    for (unsigned i = 3; i-- > 0;)
        assert_ptr_equal(hak_recent_take(&recent, 3), s[i]);
    assert_null(hak_recent_take(&recent, 3));
    for (unsigned i = 0; i < 3; i++)
        give(s[i]);
}

static void test_only_what_is_wanted(void **state)
{
    (void)state;
    struct slab *other = freed(2);
    assert_false(hak_recent_keep(&recent, other, 0)); // nobody asked yet
    assert_null(hak_recent_take(&recent, 5));
    assert_false(hak_recent_keep(&recent, other, 0));
    assert_true(hak_recent_keep(&recent, freed(5), 0));
    assert_null(hak_recent_take(&recent, 2)); // the other may have its units
    assert_int_equal(recent.count, 0);
    assert_true(hak_recent_keep(&recent, other, 0));
    assert_ptr_equal(hak_recent_take(&recent, 2), other);
    give(other);
}

static void test_bounds(void **state)
{
    (void)state;
    for (unsigned units = 1; units <= SUPERSLAB_UNITS; units++) {
        unsigned kept = 0;
        assert_null(hak_recent_take(&recent, units));
        for (;;) {
            struct slab *s = freed(units);
            if (!hak_recent_keep(&recent, s, 0)) {
                give(s);
                break;
            }
            kept++;
        }
        assert_int_equal(recent.count, kept);
        size_t share = (hak_arena.bytes >> UNIT_SHIFT) / RECENT_ARENA_SHARE;
        size_t most = share < RECENT_UNITS_MAX ? share : RECENT_UNITS_MAX;
        assert_int_equal(kept, most / units < RECENT_RUNS_MAX ? most / units : RECENT_RUNS_MAX);
    }
}

static void test_trim(void **state)
{
    (void)state;
    struct slab *s = freed(4);
    assert_null(hak_recent_take(&recent, 4));
    assert_true(hak_recent_keep(&recent, s, 7));
    assert_ptr_equal(hak_recent_take(&recent, 4), s);
    assert_true(hak_recent_keep(&recent, s, 8));
    hak_recent_trim(&recent); // it was of use
    assert_int_equal(recent.count, 1);
    hak_recent_trim(&recent);
    assert_int_equal(recent.count, 0);
    assert_int_equal(hak_tag_of(hak_slab_base(s)), TAG_NONE);
    // What lay idle counts as free since then: a purge with that delay takes it at once.
    hak_pool_purge(8 + 100, 100, SIZE_MAX);
    assert_int_equal(hak_pool_empty_units(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_newest_first, begin, end),
        cmocka_unit_test_setup_teardown(test_only_what_is_wanted, begin, end),
        cmocka_unit_test_setup_teardown(test_bounds, begin, end),
        cmocka_unit_test_setup_teardown(test_trim, begin, end),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}

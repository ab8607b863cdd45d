// test_calloc.c: zeroes on recycled memory of every tier, and no touch of pages fresh from the
// system.
#include "api.h"

// Dirty blocks of one size, freed and cached in any way, come back as zeroes.
static void check_recycled(size_t n, unsigned count, bool trim)
{
    enum { MOST = 600 };
    static void *blocks[MOST];
    assert_true(count <= MOST);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < count; i++) {
            blocks[i] = round == 0 ? hak_malloc(n) : hak_calloc(1, n);
            assert_non_null(blocks[i]);
            if (round != 0 && !is_zero(blocks[i], n))
                fail_msg("calloc(1, %zu), round %u, block %u is not zero", n, round, i);
            memset(blocks[i], 0xa5, hak_malloc_usable_size(blocks[i]));
        }
        // In another order than they came, so that caches and bitmaps are both used.
        for (unsigned i = 0; i < count; i += 2)
            hak_free(blocks[i]);
        for (unsigned i = 1; i < count; i += 2)
            hak_free(blocks[i]);
        if (trim)
            hak_malloc_trim(0);
    }
}

static unsigned count_for(size_t n)
{
    size_t count = MIB(8) / n;
    return count > 600 ? 600 : count < 3 ? 3 : (unsigned)count;
}

static void recycled_blocks_are_zero(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT_OF(tier_sizes); i++)
        check_recycled(tier_sizes[i], count_for(tier_sizes[i]), false);
}

static void trimmed_blocks_are_zero(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT_OF(tier_sizes); i++)
        check_recycled(tier_sizes[i], count_for(tier_sizes[i]), true);
}

// Memory of one size becomes memory of another: no dirt comes along.
static void other_sizes_on_dirty_memory_are_zero(void **state)
{
    (void)state;
    uint64_t random = 7;
    static struct {
        void *p;
        size_t n;
    } slots[64];
    for (unsigned i = 0; i < ROUNDS_HERE(20000); i++) {
        unsigned slot = (unsigned)(next_random(&random) % COUNT_OF(slots));
        hak_free(slots[slot].p);
        size_t n = tier_sizes[next_random(&random) % COUNT_OF(tier_sizes)];
        if (n > KIB(256) && next_random(&random) % 16 != 0)
            n = 48;
        n -= next_random(&random) % ((n + 3) / 4);
        void *p = next_random(&random) % 2 ? hak_calloc(n, 1) : hak_calloc(1, n);
        assert_non_null(p);
        if (!is_zero(p, n))
            fail_msg("calloc of %zu bytes is not zero in step %u", n, i);
        memset(p, 0xff, hak_malloc_usable_size(p));
        slots[slot].p = p;
        slots[slot].n = n;
    }
    for (unsigned i = 0; i < COUNT_OF(slots); i++)
        hak_free(slots[i].p);
}

// Shrinking and growing a block must not make later zeroes dirty.
static void zero_after_realloc(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT_OF(tier_sizes); i++)
        for (unsigned j = 0; j < COUNT_OF(tier_sizes); j += 3) {
            char *p = hak_malloc(tier_sizes[i]);
            assert_non_null(p);
            memset(p, 0xee, hak_malloc_usable_size(p));
            assert_non_null(p = hak_realloc(p, tier_sizes[j]));
            memset(p, 0xdd, hak_malloc_usable_size(p));
            hak_free(p);
            assert_non_null(p = hak_calloc(1, tier_sizes[i]));
            assert_true(is_zero(p, tier_sizes[i]));
            hak_free(p);
        }
}

static void count_and_size_multiply(void **state)
{
    (void)state;
    for (size_t count = 1; count < 70; count += 3)
        for (size_t size = 1; size < 5000; size = size * 2 + 1) {
            char *p = hak_calloc(count, size);
            assert_non_null(p);
            assert_true(hak_malloc_usable_size(p) >= count * size);
            assert_true(is_zero(p, count * size));
            memset(p, 1, count * size);
            hak_free(p);
        }
}

// Bytes that become resident while `count` blocks of n bytes are made by calloc and not touched.
static size_t resident_growth(size_t n, unsigned count)
{
    static void *blocks[8192];
    assert_true(count <= COUNT_OF(blocks));
    size_t before = resident_bytes();
    for (unsigned i = 0; i < count; i++)
        assert_non_null(blocks[i] = hak_calloc(1, n));
    size_t after = resident_bytes();
    // They are zero all the same.
    for (unsigned i = 0; i < count; i += 97)
        assert_true(is_zero(blocks[i], n));
    for (unsigned i = 0; i < count; i++)
        hak_free(blocks[i]);
    return after > before ? after - before : 0;
}

static void assert_untouched(size_t n, unsigned count)
{
    if (!is_measurable())
        skip();
    // What earlier tests freed must not serve this one: fresh pages are the point.
    hak_malloc_trim(0);
    size_t growth = resident_growth(n, count);
    if (growth > n * count / 8)
        fail_msg("calloc of %u x %zu bytes made %zu bytes resident", count, n, growth);
}

static void fresh_64_mib_stays_untouched(void **state)
{
    (void)state;
    assert_untouched(MIB(64), 1);
}

static void fresh_2_mib_stays_untouched(void **state)
{
    (void)state;
    assert_untouched(MIB(2), 20);
}

static void fresh_200_kib_stays_untouched(void **state)
{
    (void)state;
    assert_untouched(KIB(200), 200);
}

static void fresh_8_kib_stays_untouched(void **state)
{
    (void)state;
    if (CANARY != 0) // touches one page of each block
        skip();
    assert_untouched(KIB(8), 4000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fresh_64_mib_stays_untouched),
        cmocka_unit_test(fresh_2_mib_stays_untouched),
        cmocka_unit_test(fresh_200_kib_stays_untouched),
        cmocka_unit_test(fresh_8_kib_stays_untouched),
        cmocka_unit_test(count_and_size_multiply),
        cmocka_unit_test(recycled_blocks_are_zero),
        cmocka_unit_test(trimmed_blocks_are_zero),
        cmocka_unit_test(other_sizes_on_dirty_memory_are_zero),
        cmocka_unit_test(zero_after_realloc),
    };
    return cmocka_run_group_tests_name("api_calloc", tests, NULL, NULL);
}

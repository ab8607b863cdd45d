// test_held_again.c: freed runs that serve again: a buffer that grows, and memory that one block
// lends to another.
#define _GNU_SOURCE 1
#include "support.h"

#include <seam/os.h>
#include <seam/sanitizer.h>

#include "fence.h"
#include "guard.h"
#include "held.h"
#include "pool.h"

static struct held held;

// Where the memory of the block that was held last is, or NULL.
static char *stowed;
void *__real_hak_os_stow(void *p, size_t bytes);
void *__wrap_hak_os_stow(void *p, size_t bytes);
void *__wrap_hak_os_stow(void *p, size_t bytes)
{
    return stowed = __real_hak_os_stow(p, bytes);
}

static int start(void **state)
{
    (void)state;
    hak_classes_start((size_t)128 << 10);
    // One heap may hold more than it may keep the memory of.
    if (!hak_arena_start(HELD_ARENA_SHARE * (HELD_WARM_UNITS + HELD_WARM_UNITS / 4) * UNIT_SIZE))
        return -1;
    hak_superslabs_start();
    hak_pool_start();
    return 0;
}

// A large block that was written to and freed.
static struct slab *freed(unsigned units)
{
    struct run r;
    assert_true(hak_pool_acquire(units, units, 1, POOL_EXHAUSTIVE, &r) != POOL_NONE);
    struct slab *s = hak_slab_at(r.unit);
    hak_slab_begin_block(s, SLAB_LARGE, units, units * UNIT_SIZE);
    sanitize_open(hak_slab_base(s), units * UNIT_SIZE);
    memset(hak_slab_base(s), 1, units * UNIT_SIZE);
    return s;
}

static size_t end_of(const struct slab *s)
{
    return own_load(&s->units) * UNIT_SIZE;
}

static void expect_zero(const struct slab *s, size_t end)
{
    for (size_t b = 0; b < end; b++)
        if (hak_slab_base(s)[b] != 0)
            fail_msg("byte %zu is %d", b, hak_slab_base(s)[b]);
}

static void read_byte(const void *p)
{
    __asm__ volatile("" : : "r"(*(const char *)p));
}

static bool is_readable(const char *p)
{
    struct capture capture;
    run_in_child(&capture, read_byte, p);
    return !WIFSIGNALED(capture.status);
}

// A block that grows gets the longest, with its guard where it was. What a shorter one does not use
// stays, zero, behind its guard.
static void test_grows(void **state)
{
    (void)state;
    struct slab *s[3];
    size_t end = 2 * UNIT_SIZE, page = os_page_size(), open = 4 * UNIT_SIZE - page;
    for (unsigned i = 0; i < 3; i++) {
        s[i] = freed(2 + 2 * (i & 1));
        own_store(&s[i]->bytes, end_of(s[i]) - page);
        if (MITIGATE_GUARDS)
            hak_fence_set(s[i], 0, end_of(s[i]) - page);
        assert_true(hak_held_add(&held, s[i], end_of(s[i]) - page, 0));
    }
    size_t inaccessible = hak_inaccessible_bytes();
    struct held_request want = { .state = SLAB_LARGE,
                                 .units = 2,
                                 .spare = 2,
                                 .end = end,
                                 .align = 1,
                                 .zero = true,
                                 .grows = true };
    assert_ptr_equal(hak_held_take(&held, &want), s[1]);
    assert_true(own_load(&s[1]->reached) >= open);
    expect_zero(s[1], MITIGATE_GUARDS ? open : end);
    if (MITIGATE_GUARDS)
        assert_int_equal(own_load(&s[1]->touched), page);
    assert_int_equal(is_readable(hak_slab_base(s[0])), !MITIGATE_QUARANTINE);
    // It is freed before it grew so far, and serves a request that does not grow.
    memset(hak_slab_base(s[1]), 1, MITIGATE_GUARDS ? open : end);
    assert_true(hak_held_add(&held, s[1], end, 0));
    assert_int_equal(hak_inaccessible_bytes(), inaccessible);
    want.grows = false;
    want.spare = 0;
    assert_ptr_equal(hak_held_take(&held, &want), s[0]);
    assert_true(hak_held_add(&held, s[0], end - page, 0));
    want.units = 4;
    want.end = end + UNIT_SIZE;
    assert_ptr_equal(hak_held_take(&held, &want), s[1]);
    expect_zero(s[1], end + UNIT_SIZE);
    if (MITIGATE_GUARDS) {
        assert_int_equal(own_load(&s[1]->touched), end_of(s[1]) - want.end);
        assert_false(is_readable(hak_slab_base(s[1]) + want.end));
        assert_true(hak_fence_move(s[1], open, false));
        if (FREE_IS_ZERO)
            expect_zero(s[1], open);
    }
    assert_true(hak_held_add(&held, s[1], MITIGATE_GUARDS ? open : want.end, 0));
    hak_held_release(&held, 0);
    assert_int_equal(held.count, 0);
    for (unsigned i = 0; i < 3 && FREE_IS_ZERO; i++)
        expect_zero(s[i], end_of(s[i]));
}

// Behind the end of a block that grew, pages that nobody touched do not come into memory for being
// cleared.
static void test_grown_untouched(void **state)
{
    (void)state;
    if (!MITIGATE_QUARANTINE || !MITIGATE_GUARDS)
        skip();
    struct slab *s = freed(4);
    unsigned char there[4 * UNIT_SIZE / 4096];
    size_t end = UNIT_SIZE, page = os_page_size(), open = end_of(s) - page, found = 0;
    hak_fence_set(s, 0, end);
    assert_true(os_decommit(hak_slab_base(s), end_of(s)));
    memset(hak_slab_base(s), 1, end);
    assert_true(hak_fence_move(s, open, false));
    hak_slab_base(s)[2 * UNIT_SIZE] = 1; // an overflow
    assert_true(hak_held_add(&held, s, end, 0));
    char *base = stowed != NULL ? stowed : hak_slab_base(s);
    assert_true(hak_os_resident(base, open, there));
    for (size_t i = 0; i < open / page; i++)
        found += there[i] & 1;
    assert_in_range(found, 1, end / page + 1);
    hak_held_release(&held, 0);
    expect_zero(s, open);
}

static size_t resident_pages(const char *p, size_t bytes)
{
    unsigned char there[8 * UNIT_SIZE / 4096];
    size_t found = 0;
    assert_true(bytes <= 8 * UNIT_SIZE && hak_os_resident(p, bytes, there));
    for (size_t i = 0; i < bytes / os_page_size(); i++)
        found += there[i] & 1;
    return found;
}

// The block that was freed last lends its memory to one of its length that lost its own.
static void test_lends(void **state)
{
    (void)state;
    if (!MITIGATE_QUARANTINE || !MITIGATE_GUARDS)
        skip();
    struct slab *s[2];
    size_t page = os_page_size(), end = 2 * UNIT_SIZE - page;
    for (unsigned i = 0; i < 2; i++) {
        s[i] = freed(2);
        hak_fence_set(s[i], 0, end);
        own_store(&s[i]->bytes, end);
    }
    assert_true(hak_held_add(&held, s[0], end, 0));
    hak_held_trim(&held, 100, 1);
    assert_int_equal(own_load(&s[0]->reached), 0);
    assert_true(hak_held_add(&held, s[1], end, 0));
    struct held_request want = { .state = SLAB_LARGE, .units = 2, .end = end, .align = 1 };
    uint32_t warm = held.warm;
    assert_ptr_equal(hak_held_take(&held, &want), s[0]);
    if (stowed != NULL) {
        assert_int_equal(warm, 2);
        assert_int_equal(held.warm, 0);
        assert_int_equal(own_load(&s[1]->reached), 0);
        assert_int_equal(resident_pages(hak_slab_base(s[0]), end), end / page);
    }
    expect_zero(s[0], end);
    memset(hak_slab_base(s[0]), 1, end);
    assert_false(is_readable(hak_slab_base(s[0]) + end));
    assert_false(is_readable(hak_slab_base(s[1])));
    assert_int_equal(held.count, 1);
    // And back, several times.
    for (unsigned i = 0; i < 6; i++) {
        assert_true(hak_held_add(&held, s[i % 2], end, 0));
        assert_ptr_equal(hak_held_take(&held, &want), s[1 - i % 2]);
        expect_zero(s[1 - i % 2], end);
        memset(hak_slab_base(s[1 - i % 2]), 1, end);
        assert_false(is_readable(hak_slab_base(s[i % 2])));
    }
    assert_true(hak_held_add(&held, s[0], end, 0));
    // Of another length it keeps it.
    want.end = end - page;
    warm = held.warm;
    assert_ptr_equal(hak_held_take(&held, &want), s[1]);
    assert_int_equal(held.warm, warm);
    expect_zero(s[1], want.end);
    assert_true(hak_held_add(&held, s[1], want.end, 0));
    hak_held_release(&held, 0);
    assert_int_equal(held.count, 0);
    assert_int_equal(held.warm, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grows),
        cmocka_unit_test(test_grown_untouched),
        cmocka_unit_test(test_lends),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}

// test_held.c: freed runs are held in order, within their bounds, and are accessible and zero again
// when they go back to the pool or are handed out again.
#define _GNU_SOURCE 1
#include "support.h"

#include <seam/os.h>
#include <seam/sanitizer.h>

#include "fence.h"
#include "held.h"
#include "large.h"
#include "pool.h"
#include "types.h"

static struct held held;

// A limit on writable memory, as RLIMIT_DATA: what is made accessible must fit in.
static size_t room_bytes = SIZE_MAX / 2;
static bool refuse_hiding; // no access is taken away either

bool __real_hak_os_commit(void *p, size_t bytes);
bool __wrap_hak_os_commit(void *p, size_t bytes);
bool __real_hak_os_protect_none(void *p, size_t bytes);
bool __wrap_hak_os_protect_none(void *p, size_t bytes);
bool __real_hak_os_hide(void *p, size_t bytes);
bool __wrap_hak_os_hide(void *p, size_t bytes);

bool __wrap_hak_os_commit(void *p, size_t bytes)
{
    if (bytes > room_bytes || !__real_hak_os_commit(p, bytes))
        return false;
    room_bytes -= bytes;
    return true;
}

bool __wrap_hak_os_hide(void *p, size_t bytes)
{
    if (refuse_hiding || !__real_hak_os_hide(p, bytes))
        return false;
    room_bytes += bytes;
    return true;
}

bool __wrap_hak_os_protect_none(void *p, size_t bytes)
{
    if (refuse_hiding || !__real_hak_os_protect_none(p, bytes))
        return false;
    room_bytes += bytes;
    return true;
}

// Where the memory of the block that was held last is, or NULL.
static char *stowed;
static bool refuse_stow;
void *__real_hak_os_stow(void *p, size_t bytes);
void *__wrap_hak_os_stow(void *p, size_t bytes);
void *__wrap_hak_os_stow(void *p, size_t bytes)
{
    return stowed = refuse_stow ? NULL : __real_hak_os_stow(p, bytes);
}

// Which pages are in memory, and whether the system says so.
static bool refuse_resident;
bool __real_hak_os_resident(const void *p, size_t bytes, unsigned char *out);
bool __wrap_hak_os_resident(const void *p, size_t bytes, unsigned char *out);

bool __wrap_hak_os_resident(const void *p, size_t bytes, unsigned char *out)
{
    return !refuse_resident && __real_hak_os_resident(p, bytes, out);
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

static bool is_held(const struct slab *s)
{
    return hak_tag_of(hak_slab_base(s)) == TAG_LARGE;
}

static void test_order_and_bounds(void **state)
{
    (void)state;
    enum { BLOCKS = 100 };
    struct slab *s[BLOCKS];
    size_t units_max = (hak_arena.bytes >> UNIT_SHIFT) / HELD_ARENA_SHARE;
    unsigned released = 0;
    for (unsigned i = 0; i < BLOCKS; i++) {
        s[i] = freed(i < BLOCKS / 2 ? 1 + i % 7 : 16 + i % 16); // many, then long ones
        assert_true(hak_held_add(&held, s[i], end_of(s[i]), 0));
        assert_true(held.units <= units_max);
        assert_in_range(held.count, 1, HELD_BLOCKS_MAX);
        for (; released < i + 1 - held.count; released++)
            assert_false(is_held(s[released])); // the oldest first
        assert_true(is_held(s[i]) && held.newest == s[i]);
        if (i == 0)
            assert_true(is_held(s[0]));
    }
    assert_true(released > 0);
    hak_held_release(&held, 0);
    assert_int_equal(held.units, 0);
    assert_int_equal(held.count, 0);
    assert_null(held.oldest);
    assert_false(is_held(s[BLOCKS - 1]));
    for (unsigned i = 0; i < BLOCKS; i++)
        for (size_t b = 0; b < UNIT_SIZE && FREE_IS_ZERO; b += 512)
            assert_int_equal(hak_slab_base(s[i])[b], 0);
}

// At the limit the oldest may need more room than a new one makes. All are held, none is lost, and
// their number is back in its bounds as soon as there is room.
static void test_limit(void **state)
{
    (void)state;
    if (!MITIGATE_QUARANTINE)
        skip();
    enum { LONG = 5, BLOCKS = HELD_BLOCKS_MAX + 3 * LONG };
    struct slab *s[BLOCKS];
    for (unsigned i = 0; i < BLOCKS; i++)
        s[i] = freed(i < 2 ? LONG : 1);
    size_t unlimited = room_bytes;
    refuse_stow = true;
    for (unsigned i = 0; i < BLOCKS; i++) {
        if (i == HELD_BLOCKS_MAX)
            room_bytes = 0;
        if (i == BLOCKS - 1)
            room_bytes = unlimited;
        assert_true(hak_held_add(&held, s[i], end_of(s[i]), 0));
        assert_true(held.count < HELD_BLOCKS_MAX + 2 * LONG);
    }
    refuse_stow = false;
    assert_false(is_held(s[0]) || is_held(s[1]));
    assert_int_equal(held.count, HELD_BLOCKS_MAX);
    room_bytes = 0;
    hak_held_release(&held, 0);
    assert_int_equal(held.count, HELD_BLOCKS_MAX);
    room_bytes = unlimited;
    hak_held_release(&held, 0);
    assert_int_equal(held.count, 0);
    for (unsigned i = 0; i < BLOCKS; i++)
        assert_false(is_held(s[i]));
}

static void read_byte(const void *p)
{
    __asm__ volatile("" : : "r"(*(const char *)p));
}

static void read_block(const void *s)
{
    read_byte(hak_slab_base(s));
}

static void test_inaccessible(void **state)
{
    (void)state;
    if (!MITIGATE_QUARANTINE)
        skip();
    struct capture capture;
    struct slab *s = freed(3);
    assert_true(hak_held_add(&held, s, end_of(s), 0));
    run_in_child(&capture, read_block, s);
    assert_true(WIFSIGNALED(capture.status) && WTERMSIG(capture.status) == SIGSEGV);
    hak_held_release(&held, 0);
    run_in_child(&capture, read_block, s);
    assert_false(WIFSIGNALED(capture.status));
}

static void expect_zero(const struct slab *s, size_t end)
{
    for (size_t b = 0; b < end; b++)
        if (hak_slab_base(s)[b] != 0)
            fail_msg("byte %zu is %d", b, hak_slab_base(s)[b]);
}

static struct slab *take(enum slab_state state, uint32_t units, size_t end, size_t align)
{
    struct held_request want = { .state = state,
                                 .units = units,
                                 .spare = HELD_SPARE_UNITS,
                                 .end = end,
                                 .align = align,
                                 .zero = true };
    return hak_held_take(&held, &want);
}

// A request of about the same length gets the oldest that fits, but with the quarantine never the
// one that was freed last; it is accessible to its end, and reads as zero.
static void test_take(void **state)
{
    (void)state;
    struct slab *s[4];
    size_t page = os_page_size(), end = 2 * UNIT_SIZE - page;
    for (unsigned i = 0; i < 4; i++)
        s[i] = freed(i == 1 ? 9 : 2);
    assert_null(take(SLAB_LARGE, 2, end, 1));
    for (unsigned i = 0; i < 3; i++)
        assert_true(hak_held_add(&held, s[i], end_of(s[i]), 0));
    assert_null(take(SLAB_HUGE, 2, end, 1));
    assert_null(take(SLAB_LARGE, 2, end, (size_t)1 << 62));
    assert_null(take(SLAB_LARGE, 3, end, 1));
    assert_null(take(SLAB_LARGE, 9 - HELD_SPARE_UNITS - 1, end, 1));
    assert_ptr_equal(take(SLAB_LARGE, 2, end, 1), s[0]);
    expect_zero(s[0], end);
    assert_true(!MITIGATE_QUARANTINE || take(SLAB_LARGE, 2, end, 1) == NULL); // the latest
    assert_true(hak_held_add(&held, s[3], end_of(s[3]), 0));
    assert_int_equal(held.warm, 9 + 2 + 2);
    hak_held_trim(&held, 50, 100);
    assert_int_equal(held.warm, 9 + 2 + 2);
    hak_held_trim(&held, 200, 100);
    assert_int_equal(held.warm, 0);
    assert_ptr_equal(take(SLAB_LARGE, 2, 2 * UNIT_SIZE, 1), s[2]);
    expect_zero(s[2], 2 * UNIT_SIZE);
    assert_int_equal(held.count, 2);
    hak_held_release(&held, 0);
    assert_int_equal(held.count, 0);
}

// The memory of the latest stays, to a bound.
static void test_warm(void **state)
{
    (void)state;
    enum { LENGTH = 20, BLOCKS = HELD_WARM_UNITS / LENGTH + 3 };
    for (unsigned i = 0; i < BLOCKS; i++) {
        struct slab *s = freed(LENGTH);
        assert_true(hak_held_add(&held, s, end_of(s), 0));
        assert_true(held.warm <= HELD_WARM_UNITS);
        assert_true(held.warm >= LENGTH);
    }
    assert_true(held.warm > HELD_WARM_UNITS - LENGTH);
    hak_held_release(&held, 0);
    assert_int_equal(held.warm, 0);
}

// Beyond what each heap may keep, all together keep so much.
static void test_warm_total(void **state)
{
    (void)state;
    enum { LENGTH = HELD_WARM_UNITS / 16, HEAPS = 4 };
    struct held heaps[HEAPS];
    uint32_t warm = 0;
    memset(heaps, 0, sizeof heaps);
    for (unsigned i = 0; i < 16 * HEAPS; i++) {
        struct slab *s = freed(LENGTH);
        assert_true(hak_held_add(&heaps[i / 16], s, end_of(s), 0));
    }
    for (unsigned i = 0; i < HEAPS; i++)
        warm += heaps[i].warm;
    if (MITIGATE_QUARANTINE || FREE_IS_ZERO) { // else those of the first heaps went to the pool
        assert_in_range(warm, HELD_WARM_TOTAL - LENGTH,
                        HELD_WARM_TOTAL + (HEAPS - 2) * HELD_WARM_SURE);
        assert_in_range(heaps[HEAPS - 1].warm, LENGTH, HELD_WARM_SURE);
    }
    for (unsigned i = 0; i < HEAPS; i++)
        hak_held_release(&heaps[i], 0);
}

// Of a long block, pages that nobody touched do not come into memory for being cleared.
static void test_untouched(void **state)
{
    (void)state;
    enum { UNITS = CLEAR_PLAIN_MAX / UNIT_SIZE + 2 };
    struct run r;
    unsigned char there[UNITS * UNIT_SIZE / 4096];
    size_t pages = UNITS * UNIT_SIZE / os_page_size(), found = 0;
    if (!MITIGATE_QUARANTINE)
        skip();
    assert_true(hak_pool_acquire_kind(KIND_LARGE, UNITS, UNITS, 1, POOL_EXHAUSTIVE, &r) !=
                POOL_NONE);
    struct slab *s = hak_slab_at(r.unit);
    hak_slab_begin_block(s, SLAB_LARGE, UNITS, UNITS * UNIT_SIZE);
    assert_true(os_decommit(hak_slab_base(s), UNITS * UNIT_SIZE));
    sanitize_open(hak_slab_base(s), UNITS * UNIT_SIZE);
    memset(hak_slab_base(s) + UNIT_SIZE, 1, UNIT_SIZE);
    assert_true(hak_held_add(&held, s, end_of(s), 0));
    char *base = stowed != NULL ? stowed : hak_slab_base(s);
    assert_true(hak_os_resident(base, UNITS * UNIT_SIZE, there));
    for (size_t i = 0; i < pages; i++)
        found += there[i] & 1;
    assert_in_range(found, 1, UNIT_SIZE / os_page_size());
    hak_held_release(&held, 0);
    expect_zero(s, UNITS * UNIT_SIZE);
}

// Where the system does not say which pages are in memory all of them are cleared, and stay there.
static void test_residence_unknown(void **state)
{
    (void)state;
    enum { UNITS = CLEAR_PLAIN_MAX / UNIT_SIZE + 2 };
    unsigned char there[UNITS * UNIT_SIZE / 4096];
    size_t pages = UNITS * UNIT_SIZE / os_page_size(), found = 0;
    if (!MITIGATE_QUARANTINE)
        skip();
    struct slab *s = freed(UNITS);
    refuse_resident = true;
    assert_true(hak_held_add(&held, s, end_of(s), 0));
    refuse_resident = false;
    char *base = stowed != NULL ? stowed : hak_slab_base(s);
    assert_true(hak_os_resident(base, UNITS * UNIT_SIZE, there));
    for (size_t i = 0; i < pages; i++)
        found += there[i] & 1;
    assert_int_equal(found, pages);
    hak_held_release(&held, 0);
    expect_zero(s, UNITS * UNIT_SIZE);
}

// A guard that the system does not make longer stays as it is. What lies before it, behind the
// block's end, could be written to: it is cleared and hidden as the block is, up to the guard.
static void test_short_guard(void **state)
{
    (void)state;
    if (!MITIGATE_GUARDS)
        skip();
    struct capture capture;
    struct slab *s = freed(2);
    size_t page = os_page_size(), open = end_of(s) - page, end = UNIT_SIZE;
    own_store(&s->bytes, open);
    hak_fence_set(s, 0, open);
    refuse_hiding = true;
    assert_true(hak_fence_move(s, end, true));
    refuse_hiding = false;
    assert_int_equal(own_load(&s->touched), page);
    assert_true(hak_held_add(&held, s, end, 0));
    assert_int_equal(own_load(&s->touched), page);
    assert_int_equal(own_load(&s->bytes), open); // the guard is no part of what is held
    run_in_child(&capture, read_byte, hak_slab_base(s) + open - 1);
    assert_int_equal(WIFSIGNALED(capture.status), MITIGATE_QUARANTINE);
    hak_held_release(&held, 0);
    assert_int_equal(held.count, 0);
    if (FREE_IS_ZERO)
        expect_zero(s, open);
}

static void test_too_long(void **state)
{
    (void)state;
    struct run r;
    size_t units_max = (hak_arena.bytes >> UNIT_SHIFT) / HELD_ARENA_SHARE;
    assert_true(hak_pool_acquire_huge(units_max + 1, 1, false, &r) != POOL_NONE);
    struct slab *s = hak_slab_at(r.unit);
    hak_slab_begin_block(s, SLAB_HUGE, r.units, r.units * UNIT_SIZE);
    assert_false(hak_held_add(&held, s, end_of(s), 0));
    hak_slab_base(s)[0] = 1; // still accessible
    hak_slab_end(s);
    hak_pool_release_huge(r.unit, r.units, true, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_and_bounds),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_inaccessible),
        cmocka_unit_test(test_take),
        cmocka_unit_test(test_warm),
        cmocka_unit_test(test_warm_total),
        cmocka_unit_test(test_untouched),
        cmocka_unit_test(test_residence_unknown),
        cmocka_unit_test(test_short_guard),
        cmocka_unit_test(test_too_long),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}

// test_guard.c: guards are inaccessible and counted, there are at most GUARDS_MAX, and what the
// system refuses is no failure. SuperSlabs end with one until a huge block lies over it.
#define _GNU_SOURCE 1
#include "support.h"

#include <seam/sanitizer.h>

#include <sys/mman.h>

#include "guard.h"
#include "pool.h"
#include "sizeclass.h"

enum { SUPERSLABS = 8 };

static int start(void **state)
{
    (void)state;
    hak_classes_start((size_t)128 << 10);
    if (!hak_arena_start(SUPERSLABS * SUPERSLAB_SIZE))
        return -1;
    hak_superslabs_start();
    hak_guard_start(SUPERSLABS);
    hak_pool_start();
    return 0;
}

static void touch(const void *p)
{
    sanitize_open(p, 1);
    *(volatile char *)(uintptr_t)p = 1;
}

static bool is_accessible(const void *p)
{
    struct capture capture;
    run_in_child(&capture, touch, p);
    bool stopped = WIFSIGNALED(capture.status) && WTERMSIG(capture.status) == SIGSEGV;
    assert_true(stopped || (WIFEXITED(capture.status) && WEXITSTATUS(capture.status) == 0));
    return !stopped;
}

static char *last_unit(uint32_t superslab)
{
    return hak_unit_base(superslab * SUPERSLAB_UNITS + GUARDED_UNIT);
}

static void test_superslabs(void **state)
{
    (void)state;
    struct run small, huge;
    assert_int_not_equal(hak_pool_acquire(1, 1, 1, POOL_ANY, &small), POOL_NONE);
    uint32_t superslab = small.unit / SUPERSLAB_UNITS;
    assert_int_equal(is_accessible(last_unit(superslab)), !MITIGATE_GUARDS);
    assert_true(is_accessible(last_unit(superslab) - 1));
    // Over a huge block there is none, and behind it there is one.
    size_t units = 2 * SUPERSLAB_UNITS + 3;
    uint32_t before = hak_guards();
    assert_int_not_equal(hak_pool_acquire_huge(units, 1, true, &huge), POOL_NONE);
    uint32_t first = huge.unit / SUPERSLAB_UNITS;
    sanitize_open(hak_unit_base(huge.unit), units * UNIT_SIZE);
    memset(hak_unit_base(huge.unit), 1, units * UNIT_SIZE);
    assert_int_equal(is_accessible(last_unit(first + 2)), !MITIGATE_GUARDS);
    // They come back with its end, and do not again when it is begun and ended again.
    for (unsigned life = 0; life < 3; life++) {
        hak_pool_release_huge(huge.unit, units, true, 0);
        assert_int_equal(is_accessible(last_unit(first)), !MITIGATE_GUARDS);
        assert_int_equal(is_accessible(last_unit(first + 1)), !MITIGATE_GUARDS);
        assert_true(hak_guards() <= before + 8);
        assert_int_not_equal(hak_pool_acquire_huge(units, 1, true, &huge), POOL_NONE);
        for (size_t i = 0; i < units * UNIT_SIZE; i += 512)
            assert_int_equal(hak_unit_base(huge.unit)[i], 0);
    }
    hak_pool_release_huge(huge.unit, units, true, 0);
    hak_pool_release(small.unit, 1, 0);
}

static void test_bound(void **state)
{
    (void)state;
    char *page = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t bytes = (size_t)sysconf(_SC_PAGESIZE);
    uint64_t refused = hak_guards_refused();
    uint32_t count = hak_guards();
    while (hak_guards() < GUARDS_MAX)
        assert_true(hak_guard_set(page, bytes));
    assert_false(is_accessible(page));
    assert_int_equal(hak_guards_refused(), refused);
    assert_false(hak_guard_set(page, bytes));
    assert_int_equal(hak_guards_refused(), refused + 1);
    // Where there are too many a SuperSlab goes without, and its unit is not lost.
    struct run r;
    assert_int_not_equal(hak_pool_acquire(20, 20, 1, POOL_ANY, &r), POOL_NONE);
    assert_int_not_equal(hak_pool_acquire(20, 20, 1, POOL_ANY, &r), POOL_NONE);
    hak_guard_dropped(GUARDS_MAX - count);
    assert_int_equal(hak_guards(), count);
}

static void test_refused(void **state)
{
    (void)state;
    uint64_t refused = hak_guards_refused();
    uint32_t count = hak_guards();
    assert_false(hak_guard_set((char *)1, 1)); // no page begins there
    assert_int_equal(hak_guards_refused(), refused + 1);
    assert_int_equal(hak_guards(), count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_superslabs),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}

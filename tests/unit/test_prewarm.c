// test_prewarm.c: what is prewarmed is there without a slow path and a page fault, stays through
// trims, goes with a flush, is bounded, and fails without harm.
#define _GNU_SOURCE 1
#include "support.h"

#include <stdlib.h>
#include <sys/mman.h>

#include <seam/os.h>

#include "cache.h"
#include "hakmem.h"
#include "heaps.h"
#include "meta.h"
#include "prewarm.h"

enum { BLOCKS = GEOMETRY_SMALL ? 3 : 100 };

bool __real_hak_os_commit(void *p, size_t bytes);
bool __wrap_hak_os_commit(void *p, size_t bytes);

static unsigned commits_left = UINT32_MAX; // then the system refuses

bool __wrap_hak_os_commit(void *p, size_t bytes)
{
    if (commits_left == 0)
        return false;
    commits_left -= commits_left != UINT32_MAX;
    return __real_hak_os_commit(p, bytes);
}

static void start_library(const char *options)
{
    commits_left = UINT32_MAX;
    hak_options_defaults(&hak_options);
    assert_int_equal(hak_options_parse(&hak_options, options, "TEST"), 0);
    hak_classes_start((size_t)hak_options.cache_kib << 10);
    assert_true(hak_arena_start(32 * SUPERSLAB_SIZE));
    hak_meta_start();
    hak_superslabs_start();
    hak_pool_start();
    hak_heaps_start();
}

static unsigned class_of(size_t bytes)
{
    return hak_class_of(bytes + CANARY_BYTES);
}

static uint32_t cached(const struct heap *h, size_t bytes)
{
    return hak_magazine_count(&h->magazines[class_of(bytes)]);
}

static bool is_resident(const void *p)
{
    unsigned char here = 0;
    size_t page = hak_os_page_size();
    void *start = (void *)((uintptr_t)p & ~(page - 1));
    return mincore(start, 1, &here) == 0 && (here & 1) != 0;
}

// Takes what the magazine holds: each block begins and ends in memory that is there.
static void expect_ready(struct heap *h, size_t bytes, uint32_t blocks)
{
    unsigned class_index = class_of(bytes);
    void *taken[MAGAZINE_BLOCKS_MAX];
    assert_true(cached(h, bytes) >= blocks);
    uint64_t refilled = own_load(&hak_heap_counts(h, class_index)->refilled);
    for (uint32_t i = 0; i < blocks; i++) {
        taken[i] = hak_magazine_pop(&h->magazines[class_index]);
        assert_non_null(taken[i]);
        assert_int_equal(hak_tag_of(taken[i]), class_index);
        assert_true(is_resident(taken[i]));
        assert_true(is_resident((char *)taken[i] + hak_class_bytes(class_index) - 1));
    }
    assert_int_equal(own_load(&hak_heap_counts(h, class_index)->refilled), refilled);
    for (uint32_t i = blocks; i != 0; i--)
        assert_true(hak_magazine_push(&h->magazines[class_index], taken[i - 1]));
}

static void test_ready(void **state)
{
    (void)state;
    start_library(GEOMETRY_SMALL ? "prewarm=64:3+1200:3+8000:1"
                                 : "prewarm=64:100+1200:60+8000:15+200000:1");
    struct heap *h = hak_heaps_borrow();
    hak_prewarm(h);
    assert_true(hak_heap_ok(h) && h->prewarm.done);
    expect_ready(h, 64, BLOCKS);
    expect_ready(h, 1200, GEOMETRY_SMALL ? 3 : 60); // whose last block begins and ends in two pages
    expect_ready(h, 8000, GEOMETRY_SMALL ? 1 : 15);
    if (!GEOMETRY_SMALL)
        expect_ready(h, 200000, 1);
    assert_int_equal(cached(h, 32), 0);
    assert_int_equal(cached(h, 128), 0);
    // Twice is no more than once.
    uint32_t before = cached(h, 64);
    hak_prewarm(h);
    assert_int_equal(cached(h, 64), before);
    assert_true(hak_heap_ok(h));
}

// No more than a magazine may hold, whatever is asked for.
static void test_bounded(void **state)
{
    (void)state;
    start_library(GEOMETRY_SMALL ? "cache_kib=1,prewarm=8000:3" : "cache_kib=64,prewarm=8000:1000");
    struct heap *h = hak_heaps_borrow();
    hak_prewarm(h);
    uint32_t most = hak_classes[class_of(8000)].cache_max;
    assert_true(cached(h, 8000) != 0 && cached(h, 8000) <= most);
    assert_true(hak_heap_ok(h));
}

// A cache that is not used decays: but for what was prewarmed.
static void test_trim(void **state)
{
    (void)state;
    start_library(GEOMETRY_SMALL ? "prewarm=64:2" : "prewarm=64:100");
    uint32_t wanted = GEOMETRY_SMALL ? 2 : 100;
    struct heap *h = hak_heaps_borrow();
    hak_prewarm(h);
    for (int i = 0; i < 20; i++)
        hak_cache_trim(h);
    assert_int_equal(cached(h, 64), wanted);
    void *out = hak_magazine_pop(&h->magazines[class_of(64)]);
    hak_cache_trim(h);
    hak_cache_trim(h);
    assert_int_equal(cached(h, 64), wanted - 1);
    assert_true(hak_magazine_push(&h->magazines[class_of(64)], out));
    hak_heap_flush_all(h);
    assert_int_equal(cached(h, 64), 0);
    assert_false(h->prewarm.done);
    // From now on the heap is as any other.
    bool zero;
    assert_true(hak_cache_grow(h, class_of(64)));
    void *p = hak_heap_refill(h, class_of(64), POOL_ANY, &zero);
    assert_non_null(p);
    assert_true(hak_magazine_push(&h->magazines[class_of(64)], p));
    for (int i = 0; i < 20; i++)
        hak_cache_trim(h);
    assert_int_equal(cached(h, 64), 0);
}

// At each commit that the system refuses, fewer blocks are ready, and the heap works.
static void test_refused(void **state)
{
    (void)state;
    uint32_t most = 0;
    for (unsigned refused = 0; refused < 8; refused++) {
        start_library(GEOMETRY_SMALL ? "prewarm=64:3+1000:3+8000:1" : "prewarm=64:100+1000:100");
        struct heap *h = hak_heaps_borrow();
        assert_non_null(h);
        commits_left = refused;
        hak_prewarm(h);
        assert_true(hak_heap_ok(h));
        uint32_t found = cached(h, 64) + cached(h, 1000);
        assert_true(refused != 0 || found == 0);
        most = found > most ? found : most;
        commits_left = UINT32_MAX;
        hak_prewarm(h);
        expect_ready(h, 1000, BLOCKS);
    }
    assert_true(most >= BLOCKS);
}

// Heaps for threads to come: handed out first, kept through sweeps, given up as the last resort.
static void test_threads(void **state)
{
    (void)state;
    start_library("prewarm=64:2,prewarm_threads=2");
    struct heap *mine = hak_heaps_borrow();
    hak_heaps_make_ready();
    assert_int_equal(hak_heaps_idle(), 2);
    hak_heaps_sweep(mine, TAG_NONE, HEAPS_MAX - 1);
    assert_true(cached(hak_heaps_at(1), 64) >= 2 && cached(hak_heaps_at(2), 64) >= 2);
    struct heap *cold = hak_heaps_borrow(); // for a call after a thread's end: not one of those
    assert_int_equal(hak_heaps_idle(), 2);
    assert_int_equal(cached(cold, 64), 0);
    struct heap *first = hak_heaps_borrow_ready(), *second = hak_heaps_borrow_ready();
    assert_int_equal(hak_heaps_idle(), 0);
    struct heap *third = hak_heaps_borrow_ready(); // there is none left: made and prewarmed now
    expect_ready(first, 64, 2);
    expect_ready(second, 64, 2);
    expect_ready(third, 64, 2);
    hak_heaps_return_ready(first);
    hak_heaps_return_ready(second);
    hak_heaps_return_ready(third); // two are enough
    expect_ready(first, 64, 2);
    expect_ready(second, 64, 2);
    assert_int_equal(cached(third, 64), 0);
    assert_ptr_equal(hak_heaps_borrow(), third);
    hak_heaps_sweep(mine, TAG_NONE, HEAPS_MAX);
    assert_int_equal(cached(first, 64) + cached(second, 64), 0);
    expect_ready(hak_heaps_borrow_ready(), 64, 2);
}

// After a fork the heaps of threads that are gone are not taken for prewarmed ones.
static void test_after_fork(void **state)
{
    (void)state;
    start_library("prewarm=64:2,prewarm_threads=1");
    struct heap *mine = hak_heaps_borrow(), *gone = hak_heaps_borrow_ready();
    assert_true(gone->prewarm.done);
    hak_heaps_make_ready();
    hak_heaps_after_fork(mine, true);
    assert_int_equal(hak_heaps_idle(), 2);
    hak_heaps_sweep(mine, TAG_NONE, HEAPS_MAX - 1);
    assert_int_equal(cached(gone, 64), 0);
    struct heap *ready = hak_heaps_borrow_ready();
    assert_true(ready != gone);
    expect_ready(ready, 64, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ready),   cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_trim),    cmocka_unit_test(test_refused),
        cmocka_unit_test(test_threads), cmocka_unit_test(test_after_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// test_mapped.c: mappings of their own and their registry, against a plain list.
#define _GNU_SOURCE 1
#include "support.h"

#include <pthread.h>
#include <stdlib.h>

#include <seam/os.h>
#include <seam/sanitizer.h>

#include "arena.h"
#include "check.h"
#include "mapped.h"
#include "meta.h"

enum { BLOCKS = 200, THREADS = 4 };

static size_t page;

static void start_library(void)
{
    page = os_page_size();
    assert_true(hak_arena_start(8 * SUPERSLAB_SIZE));
    hak_meta_start();
    hak_mapped_start();
}

static void test_one(void **state)
{
    (void)state;
    start_library();
    assert_int_equal(hak_mapped_count(), 0);
    assert_int_equal(hak_mapped_usable(&page), 0);
    assert_false(hak_mapped_free(&page));
    assert_null(hak_mapped_resize(&page, 100));
    char *p = hak_mapped_alloc(3 * page + 1, 1);
    assert_non_null(p);
    sanitize_defined(p, 3 * page + 1);
    assert_int_equal(hak_mapped_usable(p), MITIGATE_CANARY ? 3 * page + 1 : 4 * page);
    assert_int_equal(hak_mapped_usable(p + 16), 0);
    assert_int_equal(hak_mapped_usable(p + page), 0);
    assert_false(hak_mapped_free(p + page));
    assert_int_equal(hak_mapped_count(), 1);
    assert_int_equal(hak_mapped_bytes(), 4 * page);
    for (size_t i = 0; i <= 3 * page; i++)
        assert_int_equal(p[i], 0);
    p[3 * page] = 1;
    assert_false(hak_mapped_was_freed(p));
    assert_true(hak_mapped_free(p));
    assert_false(hak_mapped_free(p));
    assert_true(hak_mapped_was_freed(p));
    assert_false(hak_mapped_was_freed(p + page));
    assert_int_equal(hak_mapped_usable(p), 0);
    assert_int_equal(hak_mapped_count(), 0);
    assert_int_equal(hak_mapped_bytes(), 0);
    assert_true(hak_mapped_ok());
}

static void test_align(void **state)
{
    (void)state;
    start_library();
    for (size_t align = 1; align <= (size_t)1 << 30; align *= 2) {
        char *p = hak_mapped_alloc(page + 1, align);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % align, 0);
        p[0] = p[page] = 1;
        assert_true(hak_mapped_free(p));
    }
}

static void test_refused(void **state)
{
    (void)state;
    start_library();
    assert_null(hak_mapped_alloc((size_t)PTRDIFF_MAX, 1));
    assert_null(hak_mapped_alloc(page, (size_t)1 << 62));
    char *p = hak_mapped_alloc(page - CANARY_BYTES, 1);
    memset(p, 7, page - CANARY_BYTES);
    assert_null(hak_mapped_resize(p, (size_t)PTRDIFF_MAX - page));
    assert_int_equal(hak_mapped_usable(p), page - CANARY_BYTES);
    assert_int_equal(p[page - CANARY_BYTES - 1], 7);
    assert_true(hak_mapped_free(p));
    assert_true(hak_mapped_ok());
}

// Bytes of the mapping for n bytes.
static size_t whole(size_t n)
{
    return round_up(n + CANARY_BYTES, page);
}

// Random allocations, resizes and frees, far more than the registry's first table holds.
static void test_random(void **state)
{
    (void)state;
    static struct {
        char *p;
        size_t bytes; // asked for
    } block[BLOCKS];
    unsigned seed = 1;
    start_library();
    for (int step = 0; step < 20000; step++) {
        unsigned i = (unsigned)rand_r(&seed) % BLOCKS;
        size_t n = 1 + (size_t)rand_r(&seed) % (6 * page);
        char *p = block[i].p;
        if (p == NULL) {
            p = hak_mapped_alloc(n, 1);
            assert_non_null(p);
        } else {
            size_t usable = MITIGATE_CANARY ? block[i].bytes : whole(block[i].bytes);
            assert_int_equal(hak_mapped_usable(p), usable);
            assert_int_equal(p[0], (char)i);
            assert_int_equal(p[block[i].bytes - 1], (char)i);
            if (rand_r(&seed) % 3 == 0) {
                p = hak_mapped_resize(p, n);
                assert_non_null(p);
                assert_int_equal(p[0], (char)i);
            } else {
                assert_true(hak_mapped_free(p));
                block[i].p = NULL;
                continue;
            }
        }
        p[0] = p[n - 1] = (char)i;
        block[i].p = p;
        block[i].bytes = n;
        if (step % 100 == 0)
            assert_true(hak_mapped_ok());
    }
    size_t count = 0, bytes = 0;
    for (unsigned i = 0; i < BLOCKS; i++) {
        count += block[i].p != NULL;
        bytes += block[i].p != NULL ? whole(block[i].bytes) : 0;
    }
    assert_int_equal(hak_mapped_count(), count);
    assert_int_equal(hak_mapped_bytes(), bytes);
    for (unsigned i = 0; i < BLOCKS; i++)
        if (block[i].p != NULL)
            assert_true(hak_mapped_free(block[i].p));
    assert_int_equal(hak_mapped_count(), 0);
    assert_int_equal(hak_mapped_bytes(), 0);
    assert_true(hak_mapped_ok());
}

static void *churn(void *argument)
{
    unsigned seed = (unsigned)(uintptr_t)argument;
    char *p[8] = { NULL };
    for (int step = 0; step < 1500; step++) {
        unsigned i = (unsigned)rand_r(&seed) % 8;
        if (p[i] == NULL) {
            p[i] = hak_mapped_alloc(page - CANARY_BYTES, 1);
            if (p[i] == NULL || hak_mapped_usable(p[i]) != page - CANARY_BYTES)
                hak_assert_failed("a block is in the registry", __FILE__, __LINE__);
            p[i][page - CANARY_BYTES - 1] = (char)seed;
        } else {
            if (!hak_mapped_free(p[i]))
                hak_assert_failed("a live block can be freed", __FILE__, __LINE__);
            p[i] = NULL;
        }
    }
    for (unsigned i = 0; i < 8; i++)
        if (p[i] != NULL)
            hak_mapped_free(p[i]);
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    start_library();
    pthread_t thread[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, churn, (void *)i), 0);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    assert_int_equal(hak_mapped_count(), 0);
    assert_int_equal(hak_mapped_bytes(), 0);
    assert_true(hak_mapped_ok());
}

// Without metadata memory for a larger registry a mapping cannot be had; those there are stay.
static void test_no_metadata(void **state)
{
    (void)state;
    start_library();
    char *p = hak_mapped_alloc(page, 1);
    assert_non_null(p);
    for (size_t bytes = (size_t)1 << 20; bytes >= META_CHUNK_MIN; bytes /= 2)
        while (hak_meta_alloc(bytes) != NULL)
            ;
    size_t count = 1;
    char *more[4 * BLOCKS];
    while ((more[count] = hak_mapped_alloc(page, 1)) != NULL)
        assert_true(++count < sizeof more / sizeof more[0]);
    assert_int_equal(hak_mapped_count(), count);
    assert_true(hak_mapped_ok());
    assert_true(hak_mapped_free(p));
    while (--count != 0)
        assert_true(hak_mapped_free(more[count]));
    assert_int_equal(hak_mapped_count(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one),     cmocka_unit_test(test_align),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_random),
        cmocka_unit_test(test_threads), cmocka_unit_test(test_no_metadata),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

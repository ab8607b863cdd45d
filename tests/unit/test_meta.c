// test_meta.c: metadata memory: zeroed, aligned, disjoint, reused by size, bounded.
#define _GNU_SOURCE 1
#include "support.h"

#include <stdlib.h>

#include "arena.h"
#include "meta.h"

static void start_arena(void)
{
    assert_true(hak_arena_start(8 * SUPERSLAB_SIZE));
    hak_meta_start();
}

static bool is_filled(const unsigned char *p, size_t bytes, unsigned char value)
{
    for (size_t i = 0; i < bytes; i++)
        if (p[i] != value)
            return false;
    return true;
}

static void test_sizes(void **state)
{
    (void)state;
    start_arena();
    assert_int_equal(hak_meta_bytes(), 0);
    for (size_t bytes = 1; bytes <= 40000; bytes = bytes * 5 / 4 + 1) {
        unsigned char *p = hak_meta_alloc(bytes);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % META_CHUNK_MIN, 0);
        assert_true((char *)p >= hak_arena.meta);
        assert_true((char *)p + bytes <= hak_arena.meta + hak_meta_bytes());
        assert_true(is_filled(p, bytes, 0));
        memset(p, 0xa5, bytes);
        hak_meta_free(p, bytes);
    }
}

static void test_reuse(void **state)
{
    (void)state;
    start_arena();
    for (size_t bytes = 1; bytes <= 5000; bytes += 61) {
        unsigned char *p = hak_meta_alloc(bytes);
        memset(p, 0xa5, bytes);
        hak_meta_free(p, bytes);
        unsigned char *q = hak_meta_alloc(bytes);
        assert_ptr_equal(p, q);
        assert_true(is_filled(q, bytes, 0));
    }
    // Freed pieces serve their size for ever: no growth.
    size_t before = hak_meta_bytes();
    for (int i = 0; i < 100000; i++) {
        void *p = hak_meta_alloc(4096);
        assert_non_null(p);
        hak_meta_free(p, 4096);
    }
    assert_true(hak_meta_bytes() <= before + 65536);
}

static void test_disjoint(void **state)
{
    (void)state;
    enum { PIECES = 64 };
    struct {
        unsigned char *at;
        size_t bytes;
    } piece[PIECES] = { { NULL, 0 } };
    unsigned seed = 1;
    start_arena();
    for (unsigned step = 0; step < 5000; step++) {
        unsigned i = (unsigned)rand_r(&seed) % PIECES;
        if (piece[i].at != NULL) {
            assert_true(is_filled(piece[i].at, piece[i].bytes, (unsigned char)(i + 1)));
            hak_meta_free(piece[i].at, piece[i].bytes);
            piece[i].at = NULL;
        } else {
            piece[i].bytes = 1 + (size_t)rand_r(&seed) % ((size_t)64 << rand_r(&seed) % 7);
            piece[i].at = hak_meta_alloc(piece[i].bytes);
            assert_non_null(piece[i].at);
            assert_true(is_filled(piece[i].at, piece[i].bytes, 0));
            memset(piece[i].at, (int)i + 1, piece[i].bytes);
        }
    }
}

// Exhausted it says so, stays within its bound, and serves again what is freed.
static void test_exhaustion(void **state)
{
    (void)state;
    start_arena();
    size_t bytes = 8192, count = 0;
    void *last = NULL;
    for (void *p; (p = hak_meta_alloc(bytes)) != NULL; count++) {
        last = p;
        assert_true(count * bytes < hak_arena.meta_bytes);
    }
    assert_int_equal(count, hak_arena.meta_bytes / bytes);
    assert_true(hak_meta_bytes() <= hak_arena.meta_bytes);
    assert_null(hak_meta_alloc(bytes));
    hak_meta_free(last, bytes);
    assert_ptr_equal(hak_meta_alloc(bytes), last);
    assert_null(hak_meta_alloc(hak_arena.meta_bytes + 1));
    assert_null(hak_meta_alloc(SIZE_MAX / 2));
}

// Memory that was someone's is not handed out as untouched.
static void test_untouched(void **state)
{
    (void)state;
    start_arena();
    unsigned char *p = hak_meta_alloc(200);
    memset(p, 0xa5, 200);
    hak_meta_free(p, 200);
    unsigned char *q = hak_meta_alloc_untouched(200);
    assert_ptr_not_equal(q, p);
    assert_int_equal((uintptr_t)q % META_CHUNK_MIN, 0);
    assert_true(is_filled(q, 200, 0));
    assert_ptr_equal(hak_meta_alloc(200), p);
    while (hak_meta_alloc_untouched(64) != NULL)
        ;
    hak_meta_free(q, 200);
    assert_null(hak_meta_alloc_untouched(64));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),      cmocka_unit_test(test_reuse),
        cmocka_unit_test(test_untouched),  cmocka_unit_test(test_disjoint),
        cmocka_unit_test(test_exhaustion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

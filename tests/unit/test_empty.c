// test_empty.c: blocks of size 0 are different, aligned, inaccessible to the byte, told when freed
// twice, and not handed out again at once; when none is left NULL says so.
#define _GNU_SOURCE 1
#include "support.h"

#include "empty.h"
#include "random.h"

static char *blocks[EMPTY_BLOCKS];

static int start(void **state)
{
    (void)state;
    assert_null(hak_empty_alloc(1)); // before the start there are none
    hak_random_start();
    hak_empty_start();
    return hak_empty.base != NULL ? 0 : -1;
}

static void read_byte(const void *p)
{
    __asm__ volatile("" : : "r"(*(const volatile char *)p));
}

static void test_inaccessible(void **state)
{
    (void)state;
    struct capture capture;
    char *p = hak_empty_alloc(1);
    for (unsigned i = 0; i < 2; i++) { // live, freed
        for (unsigned at = 0; at < MALLOC_ALIGN; at += MALLOC_ALIGN - 1) {
            run_in_child(&capture, read_byte, p + at);
            assert_true(WIFSIGNALED(capture.status) && WTERMSIG(capture.status) == SIGSEGV);
        }
        assert_int_equal(hak_empty_is_live(p), i == 0);
        assert_int_equal(hak_empty_free(p), i == 0);
    }
}

static void test_addresses(void **state)
{
    (void)state;
    for (size_t align = 1; align <= 64 * MALLOC_ALIGN; align *= 2) {
        char *p = hak_empty_alloc(align), *q = hak_empty_alloc(align);
        assert_true(p != NULL && q != NULL && p != q);
        assert_true(hak_empty_has(p) && hak_empty_is_live(p));
        assert_int_equal((uintptr_t)p % align, 0);
        assert_false(hak_empty_free(p + 1));
        assert_false(hak_empty_is_live(p + 1));
        assert_true(hak_empty_free(p));
        for (unsigned i = 0; i < EMPTY_BLOCKS / 64 - 2; i++) {
            char *other = hak_empty_alloc(1);
            assert_ptr_not_equal(other, p); // not soon
            assert_true(hak_empty_free(other));
        }
        assert_true(hak_empty_free(q));
    }
    assert_null(hak_empty_alloc(128 * MALLOC_ALIGN));
    assert_false(hak_empty_has(hak_empty.base - 1));
    assert_false(hak_empty_has(hak_empty.base + hak_empty.bytes));
}

static void test_all(void **state)
{
    (void)state;
    for (unsigned i = 0; i < EMPTY_BLOCKS; i++)
        assert_non_null(blocks[i] = hak_empty_alloc(1));
    assert_null(hak_empty_alloc(1));
    for (unsigned i = 0; i < EMPTY_BLOCKS; i++)
        assert_true(hak_empty_free(blocks[i])); // so each was another
    for (unsigned i = 0; i < EMPTY_BLOCKS; i++)
        assert_false(hak_empty_free(blocks[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inaccessible),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_all),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}

// test_outside.c: pointers outside of the arena: blocks of size 0 and mappings of their own, each
// freed, resized and asked for as it should be and not.
#define _GNU_SOURCE 1
#include "support.h"

#include <stdio.h>
#include <stdlib.h>

#include "config.h"
#include "hakmem.h"

#define HUGE_BYTES ((size_t)3 << 20)

static char *block; // what a child makes its mistake with

static void free_twice(const void *unused)
{
    (void)unused;
    hak_free(block);
    hak_free(block);
}

static void free_interior(const void *unused)
{
    (void)unused;
    hak_free(block + 1);
}

static void resize_freed(const void *unused)
{
    (void)unused;
    hak_free(block);
    (void)!hak_realloc(block, 10);
}

static void ask_freed(const void *unused)
{
    (void)unused;
    hak_free(block);
    (void)!hak_malloc_usable_size(block);
}

static void free_with_size(const void *unused)
{
    (void)unused;
    hak_free_sized(block, 10);
}

static void expect_fault(void (*body)(const void *), const char *what)
{
    struct capture capture;
    char line[128];
    run_in_child(&capture, body, NULL);
    assert_aborted(&capture);
    snprintf(line, sizeof line, "hakmem: %s %p (0 bytes)\n", what,
             (void *)(block + (body == free_interior)));
    assert_string_equal(capture.text, line);
}

static void test_empty_blocks(void **state)
{
    (void)state;
    if (!MITIGATE_EMPTY)
        skip(); // then they are blocks of a class
    block = hak_malloc(0);
    assert_non_null(block);
    assert_int_equal(hak_malloc_usable_size(block), 0);
    expect_fault(free_twice, "double free of");
    expect_fault(free_interior, "invalid free of");
    expect_fault(resize_freed, "invalid realloc of");
    expect_fault(ask_freed, "invalid malloc_usable_size of");
    expect_fault(free_with_size, "sized free with wrong size of");
    hak_free_sized(block, 0);
    block = hak_malloc(0);
    char *more = hak_realloc(block, 100);
    assert_non_null(more);
    assert_int_equal(hak_realloc(more, 0), 0);
}

static void test_mappings(void **state)
{
    (void)state;
    // The arena of 4 MiB holds one such block.
    char *blocks[4];
    struct hak_stats stats;
    for (unsigned i = 0; i < 4; i++) {
        assert_non_null(blocks[i] = hak_malloc(HUGE_BYTES));
        blocks[i][HUGE_BYTES - 1] = 1;
        assert_true(hak_malloc_usable_size(blocks[i]) >= HUGE_BYTES);
    }
    hak_get_stats(&stats);
    assert_true(stats.mapped_live >= 2);
    blocks[0] = hak_realloc(blocks[0], 2 * HUGE_BYTES);
    assert_int_equal(blocks[0][HUGE_BYTES - 1], 1);
    blocks[3] = hak_realloc(blocks[3], 100);
    assert_non_null(blocks[3]);
    for (unsigned i = 0; i < 4; i++)
        hak_free(blocks[i]);
    hak_get_stats(&stats);
    assert_int_equal(stats.mapped_live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_blocks),
        cmocka_unit_test(test_mappings),
    };
    setenv("HAKMEM_OPTIONS", "arena_mib=4", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

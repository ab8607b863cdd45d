// test_sweep.c: a write to a free block is found wherever the block waits, and blocks in use, or
// never handed out, are no matter to a sweep.
#define _GNU_SOURCE 1
#include "support.h"

#include <stdio.h>

#include "attach.h"
#include "hakmem.h"
#include "sweep.h"

static void sweep(void)
{
    struct heap *h = hak_enter();
    assert_non_null(h);
    hak_sweep(h, SIZE_MAX);
    hak_leave(h);
}

static void write_and_sweep(const void *argument)
{
    char *p = (char *)(uintptr_t)argument;
    p[9] = 'A';
    sweep();
}

static void expect_found(void *p)
{
    struct capture capture;
    char text[80];
    run_in_child(&capture, write_and_sweep, p);
    assert_aborted(&capture);
    snprintf(text, sizeof text, "hakmem: write after free of %p (class ", p);
    assert_non_null(strstr(capture.text, text));
    assert_non_null(strstr(capture.text, " at byte 9: 00, now 41\n"));
}

static void test_freed(void **state)
{
    (void)state;
    if (!MITIGATE_SWEEP)
        skip();
    enum { BLOCKS = 64 };
    static const size_t sizes[] = { 16, 100, UNIT_SIZE / 10 };
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char *blocks[BLOCKS];
        for (unsigned j = 0; j < BLOCKS; j++) {
            blocks[j] = hak_malloc(sizes[i]);
            assert_non_null(blocks[j]);
            memset(blocks[j], 1, sizes[i]);
        }
        sweep();
        hak_free(blocks[BLOCKS / 2]);     // others of its slab stay
        expect_found(blocks[BLOCKS / 2]); // in the quarantine, or a magazine
        hak_malloc_trim(0);
        expect_found(blocks[BLOCKS / 2]); // in its slab
        blocks[BLOCKS / 2] = NULL;
        for (unsigned j = 0; j < BLOCKS; j++)
            hak_free(blocks[j]);
    }
    sweep();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

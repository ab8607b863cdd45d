// test_sweep.c: a write to a free block is found wherever the block waits, and blocks in use, or
// never handed out, are no matter to a sweep.
#define _GNU_SOURCE 1
#include "support.h"

#include <stdio.h>

#include <seam/tls.h>

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

enum { BLOCKS = 64 };
static const size_t sizes[] = { 16, 100, UNIT_SIZE / 10 };

// Blocks of n bytes, written to.
static void allocate(char *blocks[BLOCKS], size_t n)
{
    for (unsigned j = 0; j < BLOCKS; j++) {
        blocks[j] = hak_malloc(n);
        assert_non_null(blocks[j]);
        memset(blocks[j], 1, n);
    }
}

static void test_freed(void **state)
{
    (void)state;
    if (!MITIGATE_SWEEP)
        skip();
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char *blocks[BLOCKS];
        allocate(blocks, sizes[i]);
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

static bool in_magazine(const char *p)
{
    const struct magazine *m = &tls_heap()->magazines[hak_tag_of(p)];
    for (uint32_t i = 1, count = hak_magazine_count(m); i <= count; i++)
        if (hak_magazine_slots(m)[i] == p)
            return true;
    return false;
}

// Frees so much of another class, of somewhat longer blocks, that the quarantine has nothing
// else.
static void push_out(size_t n)
{
    for (unsigned i = 0; i < 20 * HEAP_WAITING_MAX; i++)
        hak_free(hak_malloc(n + n / 2 + 16));
}

static void test_magazine(void **state)
{
    (void)state;
    if (!MITIGATE_SWEEP)
        skip();
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char *blocks[BLOCKS], *found = NULL;
        allocate(blocks, sizes[i]);
        for (unsigned j = 1; j < BLOCKS; j++)
            hak_free(blocks[j]);
        push_out(sizes[i]);
        for (unsigned j = 1; j < BLOCKS; j++)
            found = in_magazine(blocks[j]) ? blocks[j] : found;
        assert_non_null(found);
        for (uint32_t j = 0; MITIGATE_QUARANTINE && j < HEAP_WAITING_MAX; j++)
            assert_ptr_not_equal(hak_heap_waiting(tls_heap(), j), found);
        expect_found(found);
        hak_free(blocks[0]);
    }
    sweep();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_freed),
        cmocka_unit_test(test_magazine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

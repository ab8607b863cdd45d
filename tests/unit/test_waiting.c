// test_waiting.c: the bytes of long blocks that wait are bounded, and the latest free is among
// them; short blocks wait beside them; what waited long enough is found in the magazine. They come
// out in another order than they were freed.
#define _GNU_SOURCE 1
#include "support.h"

#include <seam/tls.h>

#include "hakmem.h"
#include "waiting.h"

static void test_bytes(void **state)
{
    (void)state;
    if (!MITIGATE_QUARANTINE)
        skip();
    hak_free(hak_malloc(1)); // the thread has a heap now
    struct quarantine *q = &hak_heap_extra(tls_heap())->quarantines[1];
    for (unsigned i = 0; i < 3000; i++) {
        size_t n = QUARANTINE_SHORT_MAX + 1 + (i * 7919) % (CLASS_SIZE_MAX / 2);
        char *p = hak_malloc(n);
        assert_non_null(p);
        hak_free(p);
        uint64_t bytes = 0, longest = hak_class_bytes(hak_tag_of(p));
        bool waits = false;
        for (uint32_t b = 0; b < QUARANTINE_BLOCKS_MAX; b++) {
            const char *other = hak_quarantine_at(q, b);
            bytes += other != NULL ? hak_class_bytes(hak_tag_of(other)) : 0;
            waits |= other == p;
        }
        assert_true(waits);
        assert_int_equal(bytes, own_load(&q->bytes));
        assert_true(bytes <= max_size(QUARANTINE_BYTES_MAX, longest));
    }
}

static void test_short(void **state)
{
    (void)state;
    if (!MITIGATE_QUARANTINE)
        skip();
    static char *p[2 * QUARANTINE_BLOCKS_MAX];
    enum { BLOCKS = sizeof p / sizeof p[0] };
    unsigned waiting = 0;
    for (unsigned i = 0; i < BLOCKS; i++)
        assert_non_null(p[i] = hak_malloc(i % 2 == 0 ? 1 : QUARANTINE_SHORT_MAX - CANARY_BYTES));
    for (unsigned i = 0; i < BLOCKS; i++)
        hak_free(p[i]);
    const struct quarantine *q = &hak_heap_extra(tls_heap())->quarantines[0];
    for (unsigned i = 0; i < QUARANTINE_BLOCKS_MAX; i++)
        waiting += hak_quarantine_at(q, i) != NULL;
    assert_true(waiting > QUARANTINE_QUEUE);
    hak_malloc_trim(0);
    for (unsigned i = 0; i < QUARANTINE_BLOCKS_MAX; i++)
        assert_null(hak_quarantine_at(q, i));
}

// ---- order ----

static void free_sized(void *p, size_t n)
{
    hak_free_sized(p, n);
}

static void free_plain(void *p, size_t n)
{
    (void)n;
    hak_free(p);
}

// Blocks that are freed in the order of an array: of those in the queue, which is the order in
// which they come out, many were freed before their predecessor.
static void expect_shuffled(size_t n, void (*give)(void *p, size_t n))
{
    enum { BLOCKS = 4 * QUARANTINE_SHUFFLED, ROUNDS = 8 };
    static char *blocks[BLOCKS];
    uint32_t pairs = 0, backwards = 0;
    hak_free(hak_malloc(n));
    const struct quarantine *q = &hak_heap_extra(tls_heap())->quarantines[n > QUARANTINE_SHORT_MAX];
    for (unsigned round = 0; round < ROUNDS; round++) {
        hak_malloc_trim(0); // none waits
        for (uint32_t i = 0; i < BLOCKS; i++)
            assert_non_null(blocks[i] = hak_malloc(n));
        for (uint32_t i = 0; i < BLOCKS; i++)
            give(blocks[i], n);
        uint32_t before = UINT32_MAX;
        for (uint32_t i = QUARANTINE_SHUFFLED; i < QUARANTINE_BLOCKS_MAX; i++) {
            const char *p = hak_quarantine_at(q, i);
            uint32_t at = 0;
            if (p == NULL)
                break;
            while (at < BLOCKS && blocks[at] != p)
                at++;
            assert_in_range(at, 0, BLOCKS - 1);
            pairs += before != UINT32_MAX;
            backwards += before != UINT32_MAX && at < before;
            before = at;
        }
    }
    assert_true(pairs >= ROUNDS * (QUARANTINE_QUEUE / 8));
    assert_in_range(backwards, pairs / 4, pairs - pairs / 4);
}

static void test_order(void **state)
{
    (void)state;
    if (!MITIGATE_QUARANTINE)
        skip();
    expect_shuffled(100, free_plain);
    expect_shuffled(100, free_sized);
    expect_shuffled(QUARANTINE_SHORT_MAX + 1, free_plain);
}

// A slab ends when all of its blocks were freed: one that still waits was freed twice.
static void end_under_a_block(const void *which)
{
    char *p = hak_malloc(which != NULL ? 100 : QUARANTINE_SHORT_MAX + 100);
    hak_free(p);
    hak_slab_end(hak_slab_of_unit(hak_unit_of(p)));
    hak_malloc_trim(0);
}

static void test_ended(void **state)
{
    (void)state;
    struct capture capture;
    if (!MITIGATE_QUARANTINE)
        skip();
    for (int i = 0; i < 2; i++) {
        run_in_child(&capture, end_under_a_block, i == 0 ? NULL : "short");
        assert_aborted(&capture);
        assert_non_null(strstr(capture.text, "hakmem: double free of 0x"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_short),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

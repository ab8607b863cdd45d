// test_aligned.c: aligned_alloc, posix_memalign, memalign, valloc, pvalloc.
#include "api.h"

static void use(void *p, size_t align, size_t n)
{
    if (p == NULL)
        fail_msg("alignment %zu, %zu bytes: NULL (%s)", align, n, strerror(errno));
    if (!is_aligned(p, align) || !is_aligned(p, 16))
        fail_msg("alignment %zu, %zu bytes: %p", align, n, p);
    size_t usable = hak_malloc_usable_size(p);
    assert_true(usable >= n);
    if (n > 0)
        ((char *)p)[0] = ((char *)p)[n - 1] = 2;
    if (usable <= MIB(1))
        memset(p, 3, usable);
}

static const size_t sizes[] = { 0, 1, 15, 64, 100, 4096, 5000, KIB(60), KIB(300), MIB(1), MIB(3) };

static void every_power_of_two(void **state)
{
    (void)state;
    for (size_t align = 1; align <= (size_t)1 << 30; align *= 2)
        for (unsigned i = 0; i < COUNT_OF(sizes); i++) {
            void *p = hak_aligned_alloc(align, sizes[i]);
            use(p, align, sizes[i]);
            hak_free(p);
            p = hak_memalign(align, sizes[i]);
            use(p, align, sizes[i]);
            hak_free(p);
            if (align < sizeof(void *))
                continue;
            p = NULL;
            assert_int_equal(hak_posix_memalign(&p, align, sizes[i]), 0);
            use(p, align, sizes[i]);
            hak_free(p);
        }
}

// Several at a time, full of content: none overlaps another, none is under-aligned by reuse.
static void many_at_once(void **state)
{
    (void)state;
    enum { BLOCKS = 200 };
    static struct {
        char *p;
        size_t n;
    } blocks[BLOCKS];
    uint64_t random = 3;
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < BLOCKS; i++) {
            size_t align = (size_t)16 << next_random(&random) % 13;
            size_t n = 1 + next_random(&random) % (i % 20 == 0 ? MIB(1) : KIB(20));
            blocks[i].p = hak_aligned_alloc(align, n);
            use(blocks[i].p, align, n);
            blocks[i].n = n;
            pattern_fill(blocks[i].p, n, i);
        }
        for (unsigned i = 0; i < BLOCKS; i++) {
            assert_int_equal(pattern_mismatch(blocks[i].p, blocks[i].n, i), blocks[i].n);
            hak_free(blocks[i].p);
        }
    }
}

static void alignments_that_are_none(void **state)
{
    (void)state;
    const size_t wrong[] = { 0, 3, 24, 48, 4095, 4097, SIZE_MAX };
    for (unsigned i = 0; i < COUNT_OF(wrong); i++) {
        errno = 0;
        assert_null(opaque_pointer(hak_aligned_alloc(opaque(wrong[i]), 64)));
        assert_int_equal(errno, EINVAL);
        void *p = &p;
        errno = 4711;
        assert_int_equal(hak_posix_memalign(&p, opaque(wrong[i]), 64), EINVAL);
        assert_int_equal(errno, 4711);
        assert_ptr_equal(p, &p);
    }
    // Powers of two, but no multiple of a pointer's size.
    for (size_t align = 1; align < sizeof(void *); align *= 2) {
        void *p = &p;
        assert_int_equal(hak_posix_memalign(&p, align, 64), EINVAL);
        assert_ptr_equal(p, &p);
    }
}

static void posix_memalign_reports_by_value(void **state)
{
    (void)state;
    void *p = &p;
    errno = 4711;
    assert_int_equal(hak_posix_memalign(&p, 64, opaque((size_t)PTRDIFF_MAX + 1)), ENOMEM);
    assert_int_equal(hak_posix_memalign(&p, 64, opaque((size_t)1 << 60)), ENOMEM);
    assert_int_equal(hak_posix_memalign(&p, opaque((size_t)1 << 62), 100), ENOMEM);
    assert_int_equal(errno, 4711);
    assert_ptr_equal(p, &p);
    assert_int_equal(hak_posix_memalign(&p, 64, 100), 0);
    assert_int_equal(errno, 4711);
    hak_free(p);
}

// As glibc: the next power of two.
static void memalign_rounds_up(void **state)
{
    (void)state;
    const size_t odd[][2] = { { 0, 16 }, { 3, 16 }, { 24, 32 }, { 100, 128 }, { 4097, 8192 } };
    for (unsigned i = 0; i < COUNT_OF(odd); i++)
        for (unsigned j = 0; j < 20; j++) {
            void *p = hak_memalign(odd[i][0], 100 + j * 50);
            use(p, odd[i][1], 100 + j * 50);
            hak_free(p);
        }
    errno = 0;
    assert_null(opaque_pointer(hak_memalign(opaque(SIZE_MAX), 1)));
    assert_true(errno == EINVAL || errno == ENOMEM);
}

static void huge_alignments_fail_cleanly(void **state)
{
    (void)state;
    for (size_t align = (size_t)1 << 50; align != 0; align *= 2) {
        errno = 0;
        void *p = hak_aligned_alloc(opaque(align), 1);
        if (p != NULL)
            fail_msg("alignment %zu gave %p", align, p);
        assert_int_equal(errno, ENOMEM);
    }
}

// The arena does not grow to the next multiple of a great alignment: its records would for that.
static void great_alignments_cost_no_arena(void **state)
{
    (void)state;
    hak_free(hak_malloc(MIB(3)));
    struct hak_stats before, after;
    hak_get_stats(&before);
    for (size_t align = (size_t)1 << 28; align <= (size_t)1 << 34; align *= 2) {
        void *p = hak_aligned_alloc(align, 100);
        use(p, align, 100);
        hak_get_stats(&after);
        assert_int_equal(after.metadata_bytes, before.metadata_bytes);
        hak_free(p);
    }
}

static void whole_pages(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (unsigned i = 0; i < COUNT_OF(sizes); i++) {
        void *p = hak_valloc(sizes[i]);
        use(p, page, sizes[i]);
        hak_free(p);
        p = hak_pvalloc(sizes[i]);
        size_t rounded = (sizes[i] + page - 1) / page * page;
        use(p, page, rounded);
        hak_free(p);
    }
}

// Waste of aligned blocks is bounded too: an alignment must not double a large block.
static void aligned_waste(void **state)
{
    (void)state;
    for (size_t align = 32; align <= 4096; align *= 2)
        for (size_t n = KIB(16); n <= MIB(2); n = n * 5 / 3) {
            void *p = hak_aligned_alloc(align, n);
            assert_non_null(p);
            size_t usable = hak_malloc_usable_size(p);
            if (usable > n + n / 4 + align + (size_t)sysconf(_SC_PAGESIZE))
                fail_msg("alignment %zu, %zu bytes: %zu usable", align, n, usable);
            hak_free(p);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_power_of_two),
        cmocka_unit_test(many_at_once),
        cmocka_unit_test(alignments_that_are_none),
        cmocka_unit_test(posix_memalign_reports_by_value),
        cmocka_unit_test(memalign_rounds_up),
        cmocka_unit_test(huge_alignments_fail_cleanly),
        cmocka_unit_test(great_alignments_cost_no_arena),
        cmocka_unit_test(whole_pages),
        cmocka_unit_test(aligned_waste),
    };
    return cmocka_run_group_tests_name("api_aligned", tests, NULL, NULL);
}

// test_alloc.c: malloc, free and usable size as ISO C, POSIX and glibc have them.
#include "api.h"

// The page rounding of a block is no waste: it is bounded by the request itself.
static size_t usable_max(size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    n += CANARY;
    size_t quarter = n + n / 4;
    size_t pages = (n + page - 1) / page * page;
    size_t most = quarter > pages ? quarter : pages;
    return most < 80 ? 80 : most;
}

static void check_size(size_t n)
{
    unsigned char *p = hak_malloc(n);
    if (p == NULL)
        fail_msg("malloc(%zu) is NULL: %s", n, strerror(errno));
    size_t usable = hak_malloc_usable_size(p);
    if (usable < n || usable > usable_max(n))
        fail_msg("malloc(%zu) has %zu usable bytes, more than %zu", n, usable, usable_max(n));
    if (!is_aligned(p, 16))
        fail_msg("malloc(%zu) is %p, not aligned to 16", n, (void *)p);
    p[0] = 1;
    p[usable - 1] = 2;
    hak_free(p);
}

static void every_size_to_4_mib(void **state)
{
    (void)state;
    // In the small geometry all above 64 KiB are huge, and sanitizers and the system calls of the
    // hardened flavour are slow: a prime step is enough there. Memcheck marks each byte, twice.
    bool slow = GEOMETRY_SMALL || SANITIZED || HAK_MITIGATIONS != 0;
    size_t every = KIB(UNDER_VALGRIND ? 80 : GEOMETRY_SMALL || SANITIZED ? 300 : 250);
    for (size_t n = 1, step = 1; n <= MIB(4); n += step) {
        check_size(n);
        step = !slow || n <= every ? 1 : UNDER_VALGRIND && n > KIB(300) ? 997 : 31;
    }
}

static void sizes_above(void **state)
{
    (void)state;
    uint64_t random = 1;
    for (unsigned i = 0; i < ROUNDS_HERE(300); i++)
        check_size(MIB(4) + next_random(&random) % MIB(96));
    for (size_t n = MIB(4); n <= MIB(512); n *= 2) {
        check_size(n - 1);
        check_size(n);
        check_size(n + 1);
    }
}

// Blocks of each size at once, whole contents written: none overlaps another, all keep theirs.
static void blocks_of_all_tiers_at_once(void **state)
{
    (void)state;
    enum { EACH = 3 };
    void *blocks[COUNT_OF(tier_sizes)][EACH];
    for (unsigned i = 0; i < COUNT_OF(tier_sizes); i++)
        for (unsigned j = 0; j < EACH; j++) {
            blocks[i][j] = hak_malloc(tier_sizes[i]);
            assert_non_null(blocks[i][j]);
            assert_true(is_aligned(blocks[i][j], 16));
            pattern_fill(blocks[i][j], tier_sizes[i], i * EACH + j);
        }
    for (unsigned i = 0; i < COUNT_OF(tier_sizes); i++)
        for (unsigned j = 0; j < EACH; j++) {
            assert_int_equal(pattern_mismatch(blocks[i][j], tier_sizes[i], i * EACH + j),
                             tier_sizes[i]);
            hak_free(blocks[i][j]);
        }
}

// All usable bytes belong to the block, not only those asked for.
static void usable_bytes_are_the_callers(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT_OF(tier_sizes); i++) {
        void *a = hak_malloc(tier_sizes[i]);
        void *b = hak_malloc(tier_sizes[i]);
        assert_non_null(a);
        assert_non_null(b);
        size_t a_bytes = hak_malloc_usable_size(a), b_bytes = hak_malloc_usable_size(b);
        pattern_fill(a, a_bytes, 1);
        pattern_fill(b, b_bytes, 2);
        assert_int_equal(pattern_mismatch(a, a_bytes, 1), a_bytes);
        assert_int_equal(pattern_mismatch(b, b_bytes, 2), b_bytes);
        hak_free(a);
        hak_free(b);
    }
    assert_int_equal(hak_malloc_usable_size(NULL), 0);
}

static void one_byte_is_aligned_to_16(void **state)
{
    (void)state;
    void *blocks[500];
    for (unsigned i = 0; i < COUNT_OF(blocks); i++) {
        blocks[i] = hak_malloc(1 + i % 15);
        assert_non_null(blocks[i]);
        assert_true(is_aligned(blocks[i], 16));
    }
    for (unsigned i = 0; i < COUNT_OF(blocks); i++)
        hak_free(blocks[i]);
}

static int compare_pointers(const void *a, const void *b)
{
    uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;
    return (x > y) - (x < y);
}

static void size_0_gives_unique_pointers(void **state)
{
    (void)state;
    static void *blocks[3000];
    for (unsigned i = 0; i < COUNT_OF(blocks); i++) {
        blocks[i] = i % 3 == 0 ? hak_malloc(0) : i % 3 == 1 ? hak_calloc(0, 8) : hak_calloc(8, 0);
        assert_non_null(blocks[i]);
    }
    static void *sorted[COUNT_OF(blocks)];
    memcpy(sorted, blocks, sizeof blocks);
    qsort(sorted, COUNT_OF(sorted), sizeof *sorted, compare_pointers);
    for (unsigned i = 1; i < COUNT_OF(sorted); i++)
        assert_ptr_not_equal(sorted[i - 1], sorted[i]);
    for (unsigned i = 0; i < COUNT_OF(blocks); i++)
        hak_free(blocks[i]);
}

// Expects NULL with ENOMEM.
#define ASSERT_REFUSED(expression)               \
    do {                                         \
        errno = 0;                               \
        assert_null(opaque_pointer(expression)); \
        assert_int_equal(errno, ENOMEM);         \
    } while (0)

static void too_large_is_refused(void **state)
{
    (void)state;
    const size_t sizes[] = { (size_t)PTRDIFF_MAX + 1, SIZE_MAX,           SIZE_MAX - 15,
                             SIZE_MAX - 4095,         SIZE_MAX - KIB(64), SIZE_MAX / 2 + 17 };
    for (unsigned i = 0; i < COUNT_OF(sizes); i++) {
        size_t n = opaque(sizes[i]);
        ASSERT_REFUSED(hak_malloc(n));
        ASSERT_REFUSED(hak_calloc(n, 1));
        ASSERT_REFUSED(hak_calloc(1, n));
        ASSERT_REFUSED(hak_realloc(NULL, n));
        ASSERT_REFUSED(hak_reallocarray(NULL, n, 1));
        ASSERT_REFUSED(hak_memalign(64, n));
        ASSERT_REFUSED(hak_memalign(MIB(4), n));
        ASSERT_REFUSED(hak_aligned_alloc(4096, n));
        ASSERT_REFUSED(hak_valloc(n));
        ASSERT_REFUSED(hak_pvalloc(n));
    }
    // Legal by ISO C, and more than any machine has.
    ASSERT_REFUSED(hak_malloc(opaque(PTRDIFF_MAX)));
    ASSERT_REFUSED(hak_malloc(opaque((size_t)1 << 60)));
    ASSERT_REFUSED(hak_calloc(opaque((size_t)1 << 30), opaque((size_t)1 << 30)));
}

static void products_that_overflow_are_refused(void **state)
{
    (void)state;
    const size_t half = (size_t)1 << 32;
    ASSERT_REFUSED(hak_calloc(opaque(half), opaque(half)));
    ASSERT_REFUSED(hak_calloc(opaque(half + 1), opaque(half)));
    ASSERT_REFUSED(hak_calloc(opaque(SIZE_MAX), opaque(2)));
    ASSERT_REFUSED(hak_calloc(opaque(2), opaque(SIZE_MAX / 2 + 1)));
    ASSERT_REFUSED(hak_reallocarray(NULL, opaque(half), opaque(half)));
    ASSERT_REFUSED(hak_reallocarray(NULL, opaque(SIZE_MAX / 16 + 2), opaque(16)));
    char *p = hak_malloc(100);
    assert_non_null(p);
    pattern_fill(p, 100, 3);
    ASSERT_REFUSED(hak_reallocarray(p, opaque(half + 3), opaque(half)));
    assert_int_equal(pattern_mismatch(p, 100, 3), 100);
    hak_free(p);
}

// POSIX.1-2024 and glibc 2.33 on; also when the block goes back to the system.
static void free_keeps_errno(void **state)
{
    (void)state;
    errno = 4711;
    hak_free(NULL);
    assert_int_equal(errno, 4711);
    static void *blocks[2000];
    for (unsigned i = 0; i < COUNT_OF(tier_sizes); i++) {
        unsigned count = tier_sizes[i] < KIB(32) ? COUNT_OF(blocks) : 5;
        for (unsigned j = 0; j < count; j++)
            assert_non_null(blocks[j] = hak_malloc(tier_sizes[i]));
        for (unsigned j = 0; j < count; j++) {
            errno = 4711;
            hak_free(blocks[j]);
            assert_int_equal(errno, 4711);
        }
    }
}

static void success_keeps_errno(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT_OF(tier_sizes); i++) {
        errno = 4711;
        void *p = hak_malloc(tier_sizes[i]);
        assert_non_null(p);
        assert_int_equal(errno, 4711);
        hak_free(p);
    }
}

static void sized_frees(void **state)
{
    (void)state;
    hak_free_sized(NULL, 0);
    hak_free_sized(NULL, 100);
    hak_free_aligned_sized(NULL, 64, 100);
    for (unsigned i = 0; i < COUNT_OF(tier_sizes); i++) {
        size_t n = tier_sizes[i];
        void *p = hak_malloc(n);
        assert_non_null(p);
        hak_free_sized(p, n);
        assert_non_null(p = hak_aligned_alloc(256, n));
        hak_free_aligned_sized(p, 256, n);
        // In a mapping of its own, which is resized, then perhaps moved into the arena.
        assert_non_null(p = hak_aligned_alloc(MIB(256), n));
        hak_free_aligned_sized(p, MIB(256), n);
        assert_non_null(p = hak_aligned_alloc(MIB(256), n));
        assert_non_null(p = hak_realloc(p, MIB(3) + n));
        hak_free_sized(p, MIB(3) + n);
    }
}

static void version_names_the_flavour(void **state)
{
    (void)state;
    char expected[32];
    snprintf(expected, sizeof expected, "%d.%d.%d ", HAKMEM_VERSION_MAJOR, HAKMEM_VERSION_MINOR,
             HAKMEM_VERSION_PATCH);
    assert_memory_equal(hak_version(), expected, strlen(expected));
    assert_non_null(strstr(hak_version(), GEOMETRY_SMALL ? " small" : " default"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_byte_is_aligned_to_16),
        cmocka_unit_test(blocks_of_all_tiers_at_once),
        cmocka_unit_test(usable_bytes_are_the_callers),
        cmocka_unit_test(size_0_gives_unique_pointers),
        cmocka_unit_test(too_large_is_refused),
        cmocka_unit_test(products_that_overflow_are_refused),
        cmocka_unit_test(free_keeps_errno),
        cmocka_unit_test(success_keeps_errno),
        cmocka_unit_test(sized_frees),
        cmocka_unit_test(version_names_the_flavour),
        cmocka_unit_test(sizes_above),
        cmocka_unit_test(every_size_to_4_mib),
    };
    return cmocka_run_group_tests_name("api_alloc", tests, NULL, NULL);
}

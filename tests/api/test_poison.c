// test_poison.c: AddressSanitizer and Valgrind know, to the byte, what is handed out: the bytes
// that were asked for, and neither those around them nor any of them once they are freed.
//
// In the other flavours nobody is told, and the tests are skipped.
#include "api.h"

#if defined(__SANITIZE_ADDRESS__)
#define TOLD_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TOLD_ASAN 1
#endif
#endif

#if defined(TOLD_ASAN)
#include <sanitizer/asan_interface.h>

static bool is_told(void)
{
    return true;
}

static bool is_accessible(const char *p)
{
    if (__asan_address_is_poisoned(p))
        return false;
    // Behind the last memory in use there is none: no tool is told, the kernel looks.
    static int ends[2];
    char byte;
    if (ends[1] == 0 && pipe(ends) != 0)
        fail_msg("pipe: %s", strerror(errno));
    return write(ends[1], p, 1) == 1 && read(ends[0], &byte, 1) == 1;
}
#elif defined(HAK_VALGRIND)
#include <valgrind/memcheck.h>

static bool is_told(void)
{
    return RUNNING_ON_VALGRIND;
}

static bool is_accessible(const char *p)
{
    REPORTS_OFF;
    bool accessible = VALGRIND_CHECK_MEM_IS_ADDRESSABLE(p, 1) == 0;
    REPORTS_ON;
    return accessible;
}

static bool is_defined(const char *p)
{
    REPORTS_OFF;
    bool defined = VALGRIND_CHECK_MEM_IS_DEFINED(p, 1) == 0;
    REPORTS_ON;
    return defined;
}

// What realloc keeps is defined, what it adds is not, in place as well.
static void grown_bytes_are_undefined(void **state)
{
    (void)state;
    if (!is_told())
        skip();
    static const size_t sizes[] = { 1, 40, 1000, KIB(20), KIB(200), MIB(1) };
    for (unsigned s = 0; s < COUNT_OF(sizes); s++) {
        size_t n = sizes[s];
        char *p = hak_malloc(n);
        assert_non_null(p);
        memset(p, 1, n);
        assert_non_null(p = hak_realloc(p, n + 5));
        for (size_t i = 0; i < n; i += i + 600 < n ? 509 : 1)
            assert_true(is_defined(p + i));
        for (size_t i = n; i < n + 5; i++)
            assert_false(is_defined(p + i));
        hak_free(p);
    }
}
#else
static bool is_told(void)
{
    return false;
}

static bool is_accessible(const char *p)
{
    return p != NULL;
}
#endif

// All bytes near the ends, some between them.
static size_t next_offset(size_t i, size_t n)
{
    return i < 600 || i + 600 > n ? i + 1 : i + 509;
}

static void check_block(const char *p, size_t n, const char *how)
{
    for (size_t i = 0; i < n; i = next_offset(i, n))
        if (!is_accessible(p + i))
            fail_msg("%s of %zu bytes: byte %zu is not accessible", how, n, i);
    for (size_t i = n; i < n + 64; i++)
        if (is_accessible(p + i))
            fail_msg("%s of %zu bytes: byte %zu is accessible", how, n, i);
    for (size_t i = 1; i <= 16; i++)
        if (is_accessible(p - i))
            fail_msg("%s of %zu bytes: byte -%zu is accessible", how, n, i);
}

// Beyond 1 MiB the memory of a freed block may be gone, and the address another's.
static void check_freed(const char *p, size_t n)
{
    for (size_t i = 0; i < n && n <= MIB(1); i = next_offset(i, n))
        if (is_accessible(p + i))
            fail_msg("free of %zu bytes: byte %zu is accessible", n, i);
}

static void each_size_and_function(void **state)
{
    (void)state;
    if (!is_told())
        skip();
    char *first = hak_malloc(8000); // in front of it is what nobody may read, and no tool is told
    for (unsigned i = 0; i < COUNT_OF(tier_sizes); i++)
        for (size_t n = tier_sizes[i]; n < tier_sizes[i] + 3; n++) {
            char *p = hak_malloc(n);
            check_block(p, n, "malloc");
            hak_free(p);
            check_freed(p, n);
            p = hak_calloc(1, n);
            check_block(p, n, "calloc");
            char *longer = hak_realloc(p, n + 5);
            check_block(longer, n + 5, "growing realloc");
            char *shorter = hak_realloc(longer, n);
            check_block(shorter, n, "shrinking realloc");
            hak_free(shorter);
            check_freed(shorter, n);
            p = hak_memalign(64, n);
            check_block(p, n, "memalign");
            hak_free(p);
        }
    hak_free(first);
}

// Of a slab only the blocks that were handed out are accessible, in whatever order.
static void neighbours(void **state)
{
    (void)state;
    if (!is_told())
        skip();
    enum { BLOCKS = 64, BYTES = 45 };
    char *blocks[BLOCKS];
    for (unsigned i = 0; i < BLOCKS; i++)
        blocks[i] = hak_malloc(BYTES);
    for (unsigned i = 0; i < BLOCKS; i += 2)
        hak_free(blocks[i]);
    for (unsigned i = 0; i < BLOCKS; i++)
        for (unsigned b = 0; b < BYTES; b++)
            assert_int_equal(is_accessible(blocks[i] + b), i % 2 == 1);
    for (unsigned i = 1; i < BLOCKS; i += 2)
        hak_free(blocks[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_size_and_function),
        cmocka_unit_test(neighbours),
#if defined(HAK_VALGRIND)
        cmocka_unit_test(grown_bytes_are_undefined),
#endif
    };
    return cmocka_run_group_tests_name("api_poison", tests, NULL, NULL);
}

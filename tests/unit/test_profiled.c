// test_profiled.c: every block is sampled: slabs of their own, and each mistake with one is seen at
// its free.
#define _GNU_SOURCE 1
#include "support.h"

#include <stdio.h>
#include <stdlib.h>

#include "hakmem.h"
#include "profile.h"
#include "profiled.h"

#define ARENA_MIB SMALL_OR(4u, 32u)

static void expect_audit(uint64_t live)
{
    struct hak_audit_report report;
    if (!hak_audit(&report))
        fail_msg("%s", report.first_error);
    assert_int_equal(report.live, live);
}

static void test_blocks(void **state)
{
    (void)state;
    enum { BLOCKS = 300 };
    static char *blocks[BLOCKS];
    expect_audit(0);
    for (unsigned i = 0; i < BLOCKS; i++) {
        size_t n = 60 + i * 37 % 5000;
        blocks[i] = i % 3 == 0 ? hak_calloc(1, n) : hak_malloc(n);
        assert_int_equal(hak_tag_of(blocks[i]), TAG_PROFILED);
        assert_true(hak_malloc_usable_size(blocks[i]) >= n);
        for (size_t k = 0; i % 3 == 0 && k < n; k++)
            assert_int_equal(blocks[i][k], 0);
        memset(blocks[i], (int)i, n);
    }
    expect_audit(BLOCKS);
    for (unsigned i = 0; i < BLOCKS; i++) {
        size_t n = 60 + i * 37 % 5000;
        for (size_t k = 0; k < n; k++)
            assert_int_equal((unsigned char)blocks[i][k], i % 256);
        hak_free(blocks[i]);
    }
    expect_audit(0);
    assert_int_equal(hak_profiled_listed(), 0); // all slabs went back
}

static void test_moves(void **state)
{
    (void)state;
    char *p = hak_malloc(100);
    strcpy(p, "kept");
    char *same = hak_realloc(p, 102);
    assert_ptr_equal(same, p);
    for (size_t n = 102; n < 2 * LARGE_SIZE_MAX; n = n * 3 / 2) {
        p = hak_realloc(p, n);
        assert_string_equal(p, "kept");
    }
    for (size_t n = LARGE_SIZE_MAX; n > 60; n /= 3) {
        p = hak_realloc(p, n);
        assert_string_equal(p, "kept");
    }
    hak_free(p);
    expect_audit(0);
}

static void test_aligned(void **state)
{
    (void)state;
    for (size_t align = 16; align <= 4 * UNIT_SIZE; align *= 2) {
        void *p = hak_aligned_alloc(align, 64);
        assert_int_equal((uintptr_t)p % align, 0);
        hak_free_aligned_sized(p, align, 64);
    }
    expect_audit(0);
}

static void free_twice(const void *p)
{
    hak_free((void *)(uintptr_t)p);
    hak_free((void *)(uintptr_t)p);
}

static void free_inside(const void *p)
{
    hak_free((char *)(uintptr_t)p + 16);
}

static void free_behind(const void *p)
{
    hak_free((char *)(uintptr_t)p + hak_malloc_usable_size((void *)(uintptr_t)p) * 2);
}

static void realloc_inside(const void *p)
{
    p = hak_realloc((char *)(uintptr_t)p + 16, 60);
}

static void expect_fault(void (*mistake)(const void *), const void *p, const char *what)
{
    struct capture capture;
    run_in_child(&capture, mistake, p);
    if (strncmp(capture.text, what, strlen(what)) != 0)
        fail_msg("said: %s not: %s", capture.text, what);
    assert_aborted(&capture);
}

static void test_mistakes(void **state)
{
    (void)state;
    void *p = hak_malloc(500), *other = hak_malloc(500);
    expect_fault(free_twice, p, "hakmem: double free of 0x");
    expect_fault(free_inside, p, "hakmem: invalid free of 0x");
    if (HAK_MITIGATIONS == 0)
        expect_fault(free_behind, other, "hakmem: free of never allocated 0x");
    expect_fault(realloc_inside, p, "hakmem: invalid realloc of 0x");
    hak_free(p);
    expect_fault(free_twice, other, "hakmem: double free of 0x");
    hak_free(other);
    expect_fault(free_twice, other, "hakmem: double free of 0x"); // its slab is gone
}

// A late notification of an old life of the units: the slab stays until it was taken out of the
// inbox.
static void test_late_notification(void **state)
{
    (void)state;
    void *p = hak_malloc(700);
    struct slab *s = hak_slab_of_unit(hak_unit_of(p));
    hak_remote_notify(s);
    hak_free(p);
    assert_int_equal(hak_profiled_listed(), 1);
    expect_audit(0);
    p = hak_malloc(60); // drains
    assert_int_equal(hak_profiled_listed(), 1);
    assert_int_equal(hak_profiled_class(p), hak_class_of(60 + CANARY_BYTES));
    hak_free(p);
    expect_audit(0);
}

// ---- without memory ----

// Where no slab of the profile's can be had, those of the class serve, until there is nothing left.
static void exhaust(const void *unused)
{
    (void)unused;
    enum { SIZES = 3 };
    static const size_t sizes[SIZES] = { 5000, 300, 60 };
    void *last = NULL;
    unsigned profiled = 0, plain = 0;
    hak_free(hak_malloc(1));
    for (unsigned i = 0; i < SIZES; i++)
        for (void **p; (p = hak_malloc(sizes[i])) != NULL; last = p) {
            *p = last;
            if (hak_tag_of(p) == TAG_PROFILED)
                profiled++;
            else
                plain++;
        }
    CHILD_CHECK(profiled > 100 && plain != 0);
    struct hak_audit_report report;
    CHILD_CHECK(hak_audit(&report) && report.live == profiled + plain);
    while (last != NULL) {
        void *next = *(void **)last;
        hak_free(last);
        last = next;
    }
    CHILD_CHECK(hak_audit(&report) && report.live == 0);
    CHILD_CHECK(hak_profiled_listed() == 0);
    _exit(3);
}

// A block larger than the arena is a sample too; when it is freed the profile knows.
static void map_one(const void *unused)
{
    struct profile_sums sums;
    double blocks = 0, freed = 0;
    (void)unused;
    hak_free(hak_malloc(1));
    void *p = hak_malloc((size_t)ARENA_MIB << 21);
    CHILD_CHECK(p != NULL && !hak_arena_has(p));
    for (unsigned i = 0; i < 2; i++) {
        blocks = freed = 0;
        for (uint32_t stack = 0; stack < hak_profile_stacks(); stack++) {
            hak_profile_read(stack, &sums);
            blocks += sums.allocated.bytes;
            for (unsigned k = 0; k < 2 * LIFETIMES; k++)
                freed += sums.freed[k / 2][k % 2].bytes;
        }
        CHILD_CHECK(blocks - freed == (i == 0 ? (double)((size_t)ARENA_MIB << 21) : 0.0));
        if (i == 0)
            hak_free(p);
    }
    _exit(3);
}

static void test_small_arena(void **state)
{
    (void)state;
    struct capture capture;
    char options[64];
    snprintf(options, sizeof options, "profile=1,profile_seed=3,arena_mib=%u", ARENA_MIB);
    setenv("HAKMEM_OPTIONS", options, 1);
    run_in_child(&capture, exhaust, NULL);
    assert_string_equal(capture.text, "");
    assert_exited(&capture, 3);
    run_in_child(&capture, map_one, NULL);
    assert_string_equal(capture.text, "");
    assert_exited(&capture, 3);
}

static void test_start(void **state)
{
    (void)state;
    setenv("HAKMEM_OPTIONS", "profile=1,profile_seed=3", 1);
    hak_free(hak_malloc(1)); // the thread has a heap from now on; 60 bytes are sampled for sure
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_arena), // before the process has one
        cmocka_unit_test(test_start),       cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_moves),       cmocka_unit_test(test_aligned),
        cmocka_unit_test(test_mistakes),    cmocka_unit_test(test_late_notification),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

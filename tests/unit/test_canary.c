// test_canary.c: each byte behind what was asked for is looked at, whatever the sizes, and the
// report names the first that changed.
#define _GNU_SOURCE 1
#include "support.h"

#include <stdio.h>

#include "canary.h"
#include "config.h"
#include "sizeclass.h"

static _Alignas(16) char area[8192];

struct damage {
    size_t bytes, n, at, count;
};

// A block of `bytes` bytes in which n were asked for; a write from `at` on; then what a free does.
static void write_and_check(const void *argument)
{
    const struct damage *d = argument;
    memset(area, 0, d->bytes);
    hak_canary_write(area, d->bytes, d->n);
    memset(area, 0x5a, d->n);
    memset(area + d->at, 0x42, d->count);
    size_t n = hak_canary_read(area, CLASS_FIRST, d->bytes);
    if (!hak_canary_slack_long_ok(area, d->bytes, n))
        hak_canary_fault(area, CLASS_FIRST, d->bytes);
}

static void write_and_check_behind(const void *argument)
{
    const struct damage *d = argument;
    memset(area, 0, d->bytes);
    hak_canary_write_behind(area, d->n, d->bytes - d->n);
    memset(area, 0x5a, d->n);
    memset(area + d->at, 0x42, d->count);
    hak_canary_check_behind(area, TAG_LARGE, d->n, d->bytes - d->n);
}

static void expect_told(void (*run)(const void *), const struct damage *d)
{
    struct capture capture;
    char text[80];
    run_in_child(&capture, run, d);
    assert_aborted(&capture);
    snprintf(text, sizeof text, "hakmem: write past the end of %p", (void *)area);
    assert_memory_equal(capture.text, text, strlen(text));
    snprintf(text, sizeof text, " at byte %zu:", d->at);
    if (strstr(capture.text, text) == NULL)
        fail_msg("%zu of %zu bytes: %s, not%s", d->n, d->bytes, capture.text, text);
}

static void test_block(void **state)
{
    (void)state;
    if (!MITIGATE_CANARY)
        skip();
    hak_classes_start((size_t)128 << 10);
    for (size_t bytes = 16; bytes <= 256; bytes += 16) {
        for (size_t n = 1; n <= bytes - CANARY_BYTES; n++) {
            struct damage none = { bytes, n, 0, 0 };
            write_and_check(&none);
            assert_int_equal(hak_canary_read(area, CLASS_FIRST, bytes), n);
            assert_int_equal(area[bytes - CANARY_BYTES], 0); // ends strings
        }
    }
    static const struct damage damage[] = {
        { 16, 8, 8, 1 },        { 16, 8, 8, 8 },       { 16, 1, 1, 1 },
        { 16, 7, 7, 1 },        { 32, 9, 9, 1 },       { 32, 9, 23, 1 },
        { 32, 16, 16, 8 },      { 112, 90, 90, 1 },    { 112, 90, 97, 3 },
        { 112, 90, 103, 1 },    { 1024, 900, 901, 1 }, { 1024, 900, 950, 1 },
        { 1024, 900, 1015, 1 }, { 1024, 900, 900, 4 }, { 1024, 1016, 1016, 2 },
    };
    // The slack of a block that is aligned, or was shrunk, may be long.
    for (size_t n = 1; n < 40; n++) {
        struct damage none = { 5120, n, 0, 0 }, first = { 5120, n, n, 1 };
        struct damage middle = { 5120, n, 2500 + n, 1 }, last = { 5120, n, 5111, 1 };
        write_and_check(&none);
        expect_told(write_and_check, &first);
        expect_told(write_and_check, &middle);
        expect_told(write_and_check, &last);
    }
    for (unsigned i = 0; i < sizeof damage / sizeof damage[0]; i++)
        expect_told(write_and_check, &damage[i]);
}

// The slack and nothing else: each byte of it, for all lengths; what the user wrote does not count,
// and what lies beside the block neither.
static void test_slack(void **state)
{
    (void)state;
    if (!MITIGATE_CANARY)
        skip();
    for (size_t bytes = 16; bytes <= 320; bytes += 16)
        for (size_t n = 1; n <= bytes - CANARY_BYTES; n++) {
            char *p = area + 32;
            memset(area, 0xff, bytes + 64);
            memset(p + n, 0, bytes - CANARY_BYTES - n);
            assert_true(hak_canary_slack_ok(p, bytes, n));
            assert_true(hak_canary_slack_long_ok(p, bytes, n));
            for (size_t i = n; i < bytes - CANARY_BYTES; i++) {
                p[i] = i % 2 != 0 ? 1 : (char)0x80;
                assert_false(hak_canary_slack_ok(p, bytes, n));
                assert_false(hak_canary_slack_long_ok(p, bytes, n));
                p[i] = 0;
            }
        }
}

static void test_behind(void **state)
{
    (void)state;
    if (!MITIGATE_CANARY)
        skip();
    for (size_t n = 4000; n <= 4096; n++) {
        struct damage none = { 4096, n, 0, 0 };
        write_and_check_behind(&none);
    }
    static const struct damage damage[] = {
        { 4096, 4000, 4000, 1 }, { 4096, 4000, 4090, 1 }, { 4096, 4000, 4089, 7 },
        { 4096, 4093, 4093, 1 }, { 4096, 4093, 4095, 1 }, { 4096, 1, 1, 4095 },
    };
    for (unsigned i = 0; i < sizeof damage / sizeof damage[0]; i++)
        expect_told(write_and_check_behind, &damage[i]);
}

// Who reads one canary and knows its place must not know another's.
static void test_secret(void **state)
{
    (void)state;
    if (!MITIGATE_CANARY)
        skip();
    uint64_t before = hak_canary_secret.value;
    hak_canary_start();
    assert_int_not_equal(hak_canary_secret.value, before);
    assert_int_not_equal(hak_canary_at(area), hak_canary_at(area + 16));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_secret),
        cmocka_unit_test(test_block),
        cmocka_unit_test(test_slack),
        cmocka_unit_test(test_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

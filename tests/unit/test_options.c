// test_options.c: what the option parser accepts, and each way to refuse, with offset and reason.
#define _GNU_SOURCE 1
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "options.h"

static struct options parsed;

// Parses into defaults; returns the number of refused items and leaves their report in `capture`.
static unsigned parse(struct capture *capture, const char *text)
{
    hak_options_defaults(&parsed);
    capture_error_begin(capture);
    unsigned refused = hak_options_parse(&parsed, text, "TEST");
    capture_error_end(capture);
    assert_int_equal(capture->writes, refused); // a line and a write for each
    return refused;
}

static void expect_defaults(void)
{
    static struct options defaults; // its padding is zero, as that of `parsed`
    hak_options_defaults(&defaults);
    assert_memory_equal(&parsed, &defaults, sizeof defaults);
}

static void expect_refusal(const char *text, const char *report)
{
    struct capture capture;
    char line[256];
    assert_int_equal(parse(&capture, text), 1);
    snprintf(line, sizeof line, "hakmem: TEST: %s\n", report);
    assert_string_equal(capture.text, line);
    expect_defaults();
}

static void test_accepted(void **state)
{
    (void)state;
    struct capture capture;
    assert_int_equal(parse(&capture, ""), 0);
    expect_defaults();
    assert_int_equal(parse(&capture, "arena_mib=16777216"), 0);
    assert_int_equal(parsed.arena_mib, 16777216);
    assert_int_equal(parse(&capture, "cache_kib=1,purge_delay_ms=3600000,stats=2,foreign=1,"
                                     "huge_pages=1,arena_mib=00064"),
                     0);
    assert_int_equal(parsed.cache_kib, 1);
    assert_int_equal(parsed.purge_delay_ms, 3600000);
    assert_int_equal(parsed.stats, 2);
    assert_int_equal(parsed.foreign, 1);
    assert_int_equal(parsed.huge_pages, 1);
    assert_int_equal(parsed.arena_mib, 64);
}

static void test_refused(void **state)
{
    (void)state;
    expect_refusal("foo=1", "offset 0: unknown option 'foo'");
    expect_refusal("stat=1", "offset 0: unknown option 'stat'");
    expect_refusal("statss=1", "offset 0: unknown option 'statss'");
    expect_refusal(" stats=1", "offset 0: unknown option ' stats'");
    expect_refusal("=1", "offset 0: unknown option");
}

static void test_refused_values(void **state)
{
    (void)state;
    expect_refusal("stats", "offset 0: '=' and a number are missing after 'stats'");
    expect_refusal("stats=", "offset 6: a number is missing");
    expect_refusal("stats=x", "offset 6: not a decimal number: 'x'");
    expect_refusal("stats=-1", "offset 6: not a decimal number: '-1'");
    expect_refusal("stats=+1", "offset 6: not a decimal number: '+1'");
    expect_refusal("stats=1 ", "offset 6: not a decimal number: '1 '");
    expect_refusal("stats=0x1", "offset 6: not a decimal number: '0x1'");
    expect_refusal("stats=1=1", "offset 6: not a decimal number: '1=1'");
    expect_refusal("stats=4", "offset 6: stats must be 0 to 3, not '4'");
    expect_refusal("cache_kib=0", "offset 10: cache_kib must be 1 to 65536, not '0'");
    expect_refusal("cache_kib=65537", "offset 10: cache_kib must be 1 to 65536, not '65537'");
    expect_refusal("stats=18446744073709551616",
                   "offset 6: stats must be 0 to 3, not '18446744073709551616'");
    expect_refusal("stats=18446744073709551617",
                   "offset 6: stats must be 0 to 3, not '18446744073709551617'");
    expect_refusal("stats=99999999999999999999999999999x",
                   "offset 6: not a decimal number: '99999999999999999999999999999x'");
    expect_refusal("stats=\x01", "offset 6: not a decimal number: '?'");
}

// What is wrong is refused at its place; what is right beside it holds.
static void test_mixed(void **state)
{
    (void)state;
    struct capture capture;
    assert_int_equal(parse(&capture, "stats=1,,foo=1,stats=2,cache_kib=7,"), 4);
    assert_string_equal(capture.text, "hakmem: TEST: offset 8: empty item\n"
                                      "hakmem: TEST: offset 9: unknown option 'foo'\n"
                                      "hakmem: TEST: offset 15: given twice: 'stats'\n"
                                      "hakmem: TEST: offset 35: empty item\n");
    assert_int_equal(parsed.stats, 1);
    assert_int_equal(parsed.cache_kib, 7);
    assert_int_equal(parse(&capture, "stats=9,stats=2"), 1); // the first was never given
    assert_int_equal(parsed.stats, 2);
}

static void test_long_item(void **state)
{
    (void)state;
    char text[2001];
    memset(text, 'a', 2000);
    text[2000] = 0;
    char report[256] = "offset 0: unknown option '";
    memset(report + strlen(report), 'a', 64);
    strcat(report, "...'");
    expect_refusal(text, report);
}

static void expect_prewarm(const struct prewarm_item *items, unsigned count)
{
    for (unsigned i = 0; i < PREWARM_CLASSES_MAX; i++) {
        assert_int_equal(parsed.prewarm[i].bytes, i < count ? items[i].bytes : 0);
        assert_int_equal(parsed.prewarm[i].blocks, i < count ? items[i].blocks : 0);
    }
}

static void test_prewarm(void **state)
{
    (void)state;
    struct capture capture;
    assert_int_equal(parse(&capture, "prewarm=64:2"), 0);
    expect_prewarm((struct prewarm_item[]){ { 64, 2 } }, 1);
    assert_int_equal(parse(&capture, "prewarm=64:2+0001000:001+1:3,prewarm_threads=64"), 0);
    expect_prewarm((struct prewarm_item[]){ { 64, 2 }, { 1000, 1 }, { 1, 3 } }, 3);
    assert_int_equal(parsed.prewarm_threads, 64);
    char text[8 * PREWARM_CLASSES_MAX + 16] = "prewarm=7:1";
    for (unsigned i = 1; i < PREWARM_CLASSES_MAX; i++)
        strcat(text, "+7:1");
    assert_int_equal(parse(&capture, text), 0);
    assert_int_equal(parsed.prewarm[PREWARM_CLASSES_MAX - 1].blocks, 1);
    strcat(text, "+7:1");
    char report[64];
    snprintf(report, sizeof report, "offset %zu: prewarm has too many sizes: '7:1'",
             strlen(text) - 3);
    expect_refusal(text, report);
    expect_refusal("prewarm_threads=65", "offset 16: prewarm_threads must be 0 to 64, not '65'");
    // Nothing of a wrong one holds; the first that was right does.
    assert_int_equal(parse(&capture, "prewarm=64:2+x:1,prewarm=8:1,prewarm=9:1"), 2);
    assert_string_equal(capture.text, "hakmem: TEST: offset 13: not a decimal number: 'x'\n"
                                      "hakmem: TEST: offset 29: given twice: 'prewarm'\n");
    expect_prewarm((struct prewarm_item[]){ { 8, 1 } }, 1);
}

static void test_prewarm_refused(void **state)
{
    (void)state;
    char text[64], report[128];
    expect_refusal("prewarm", "offset 0: unknown option 'prewarm'");
    expect_refusal("prewarm=", "offset 8: prewarm wants SIZE:BLOCKS, not");
    expect_refusal("prewarm=64", "offset 8: prewarm wants SIZE:BLOCKS, not '64'");
    expect_refusal("prewarm=64:1+", "offset 13: prewarm wants SIZE:BLOCKS, not");
    expect_refusal("prewarm=:1", "offset 8: a number is missing");
    expect_refusal("prewarm=64:", "offset 11: a number is missing");
    expect_refusal("prewarm=64:1:1", "offset 11: not a decimal number: '1:1'");
    expect_refusal("prewarm=64: 1", "offset 11: not a decimal number: ' 1'");
    snprintf(text, sizeof text, "prewarm=0:1");
    snprintf(report, sizeof report, "offset 8: prewarm's size must be 1 to %zu, not '0'",
             (size_t)CLASS_REQUEST_MAX);
    expect_refusal(text, report);
    snprintf(text, sizeof text, "prewarm=%zu:1", (size_t)CLASS_REQUEST_MAX + 1);
    snprintf(report, sizeof report, "offset 8: prewarm's size must be 1 to %zu, not '%zu'",
             (size_t)CLASS_REQUEST_MAX, (size_t)CLASS_REQUEST_MAX + 1);
    expect_refusal(text, report);
    snprintf(text, sizeof text, "prewarm=8:%u", MAGAZINE_BLOCKS_MAX + 1);
    snprintf(report, sizeof report, "offset 10: prewarm's blocks must be 1 to %u, not '%u'",
             MAGAZINE_BLOCKS_MAX, MAGAZINE_BLOCKS_MAX + 1);
    expect_refusal(text, report);
}

// All bytes that may be asked for, and one block more.
static void test_prewarm_bytes(void **state)
{
    (void)state;
    struct capture capture;
    size_t each = PREWARM_BYTES_MAX / PREWARM_CLASSES_MAX;
    unsigned blocks = 2;
    while (each / blocks > CLASS_REQUEST_MAX)
        blocks *= 2;
    char text[20 * PREWARM_CLASSES_MAX] = "prewarm=", one[24], report[512];
    snprintf(one, sizeof one, "%zu:%u", each / blocks, blocks);
    for (unsigned i = 0; i < PREWARM_CLASSES_MAX; i++) {
        strcat(text, i == 0 ? "" : "+");
        strcat(text, one);
    }
    assert_int_equal(each % blocks, 0);
    assert_int_equal(parse(&capture, text), 0);
    assert_int_equal(parsed.prewarm[PREWARM_CLASSES_MAX - 1].blocks, blocks);
    text[strlen(text) - 1]++; // a block more
    assert_int_equal(parse(&capture, text), 1);
    snprintf(report, sizeof report, "hakmem: TEST: offset 8: prewarm asks for too many bytes: '");
    assert_int_equal(strncmp(capture.text, report, strlen(report)), 0);
    expect_defaults();
}

// Any bytes: no item is lost (each is accepted or refused), values stay in range.
static void test_random(void **state)
{
    (void)state;
    static const char *const pieces[] = { "stats",       "cache_kib", "=",           ",", "1",
                                          "70000",       "",          "-",           "x", "stats=1",
                                          "cache_kib=2", "foreign=",  "huge_pages=1" };
    unsigned seed = 1;
    for (int run = 0; run < 3000; run++) {
        char text[512] = "";
        for (int i = 0; i < 12; i++)
            strcat(text, pieces[(unsigned)rand_r(&seed) % (sizeof pieces / sizeof pieces[0])]);
        unsigned items = text[0] != 0;
        for (const char *at = text; *at != 0; at++)
            items += *at == ',';
        struct capture capture;
        unsigned refused = parse(&capture, text);
        assert_true(refused <= items);
        assert_true(items - refused <= 6); // an option holds once
        assert_true(parsed.stats <= 3 && parsed.foreign <= 1 && parsed.huge_pages <= 1);
        assert_true(parsed.cache_kib >= 1 && parsed.cache_kib <= 65536);
    }
}

// A file with these bytes, and the string that names it.
struct options_file {
    char path[64];
    char item[96];
};

static void file_make(struct options_file *file, const char *bytes, size_t count)
{
    strcpy(file->path, "/tmp/hakmem-options-XXXXXX");
    int fd = mkstemp(file->path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, count), count);
    close(fd);
    snprintf(file->item, sizeof file->item, "options_file=%s", file->path);
}

static void expect_file_refusal(const char *bytes, size_t count, const char *report)
{
    struct options_file file;
    struct capture capture;
    file_make(&file, bytes, count);
    assert_int_equal(parse(&capture, file.item), 1);
    unlink(file.path);
    assert_string_equal(capture.text, report);
    expect_defaults();
}

static void test_file(void **state)
{
    (void)state;
    static const char text[] =
        "# made by hand\n\ncache_kib=7\npurge_delay_ms=0\nprewarm=64:2\n#stats=2\nforeign=1";
    struct options_file file;
    struct capture capture;
    char both[160];
    file_make(&file, text, sizeof text - 1);
    assert_int_equal(parse(&capture, file.item), 0);
    assert_int_equal(parsed.cache_kib, 7);
    assert_int_equal(parsed.purge_delay_ms, 0);
    assert_int_equal(parsed.foreign, 1);
    assert_int_equal(parsed.stats, 0);
    expect_prewarm((struct prewarm_item[]){ { 64, 2 } }, 1);
    // What stands beside it goes before it, on either side.
    snprintf(both, sizeof both, "cache_kib=9,%s,foreign=0,prewarm=8:1", file.item);
    assert_int_equal(parse(&capture, both), 0);
    expect_prewarm((struct prewarm_item[]){ { 8, 1 } }, 1);
    assert_int_equal(parsed.cache_kib, 9);
    assert_int_equal(parsed.foreign, 0);
    assert_int_equal(parsed.purge_delay_ms, 0);
    unlink(file.path);
}

static void test_file_refused(void **state)
{
    (void)state;
    expect_file_refusal("stats=1\r\n", 9,
                        "hakmem: options_file: offset 6: not a decimal number: '1?'\n");
    expect_file_refusal("#\nfoo=1\n", 8, "hakmem: options_file: offset 2: unknown option 'foo'\n");
    expect_file_refusal("stats=1\0", 8,
                        "hakmem: options_file: offset 6: not a decimal number: '1?'\n");
    expect_file_refusal("options_file=/tmp/x", 19,
                        "hakmem: options_file: offset 13: a file of options cannot name another: "
                        "'/tmp/x'\n");
    expect_refusal("options_file=x", "offset 13: options_file must be an absolute path, not 'x'");
    expect_refusal("options_file=", "offset 13: options_file must be an absolute path, not");
    expect_refusal("options_file", "offset 0: unknown option 'options_file'");
    expect_refusal("options_file=/dev/null", "offset 13: not a regular file: '/dev/null'");
    expect_refusal("options_file=/tmp", "offset 13: not a regular file: '/tmp'");
    expect_refusal("options_file=/nonexistent/x",
                   "offset 13: cannot read the file of options '/nonexistent/x'");
}

// The path of profiles: in the list, in a file, once, not too long.
static void test_profile_file(void **state)
{
    (void)state;
    struct options_file file;
    struct capture capture;
    char text[2 * OPTIONS_PATH_BYTES];
    assert_int_equal(parse(&capture, "profile=524288,profile_file=/tmp/a.b,stats=1"), 0);
    assert_string_equal(parsed.profile_file, "/tmp/a.b");
    assert_int_equal(parsed.profile, 524288);
    assert_int_equal(parsed.stats, 1);
    expect_refusal("profile_file=x", "offset 13: profile_file must be an absolute path, not 'x'");
    expect_refusal("profile_file=", "offset 13: profile_file must be an absolute path, not");
    expect_refusal("profile_file", "offset 0: unknown option 'profile_file'");
    assert_int_equal(parse(&capture, "profile_file=/a,profile_file=/b"), 1);
    assert_string_equal(parsed.profile_file, "/a");
    assert_string_equal(capture.text, "hakmem: TEST: offset 29: given twice: profile_file '/b'\n");
    static const char in_file[] = "profile_file=/of the file, all\nprofile=1\n";
    file_make(&file, in_file, sizeof in_file - 1);
    assert_int_equal(parse(&capture, file.item), 0);
    assert_string_equal(parsed.profile_file, "/of the file, all");
    snprintf(text, sizeof text, "%s,profile_file=/of-the-list", file.item);
    assert_int_equal(parse(&capture, text), 0);
    assert_string_equal(parsed.profile_file, "/of-the-list");
    assert_int_equal(parsed.profile, 1);
    static const char cut_short[] = "profile_file=/a\0b\n";
    unlink(file.path);
    file_make(&file, cut_short, sizeof cut_short - 1);
    assert_int_equal(parse(&capture, file.item), 1);
    assert_string_equal(parsed.profile_file, "");
    assert_non_null(strstr(capture.text, "a zero byte in the path: '/a"));
    unlink(file.path);
    memset(text, '/', sizeof text);
    memcpy(text, "profile_file=", 13);
    text[13 + OPTIONS_PATH_BYTES] = 0;
    assert_int_equal(parse(&capture, text), 1);
    assert_non_null(strstr(capture.text, "the path is too long: '////"));
    text[13 + OPTIONS_PATH_BYTES - 1] = 0;
    assert_int_equal(parse(&capture, text), 0);
    assert_int_equal(strlen(parsed.profile_file), OPTIONS_PATH_BYTES - 1);
}

// A pipe that nobody writes to does not hold the program up; a file is read to its bound only.
static void test_file_bounds(void **state)
{
    (void)state;
    static char text[2 << 20];
    struct options_file file;
    struct capture capture;
    char report[256];
    memset(text, '#', sizeof text);
    file_make(&file, text, OPTIONS_FILE_BYTES_MAX);
    assert_int_equal(parse(&capture, file.item), 0);
    unlink(file.path);
    file_make(&file, text, sizeof text);
    assert_int_equal(parse(&capture, file.item), 1);
    snprintf(report, sizeof report,
             "hakmem: TEST: offset 13: larger than 4096 bytes: the file of options '%s'\n",
             file.path);
    assert_string_equal(capture.text, report);
    unlink(file.path);
    assert_int_equal(mkfifo(file.path, 0600), 0);
    assert_int_equal(parse(&capture, file.item), 1);
    assert_non_null(strstr(capture.text, "not a regular file: '/tmp/hakmem-options-"));
    unlink(file.path);
    // A path longer than any that can be opened.
    static char item[OPTIONS_FILE_BYTES_MAX + 64] = "options_file=";
    memset(item + 13, '/', OPTIONS_FILE_BYTES_MAX + 1);
    assert_int_equal(parse(&capture, item), 1);
    assert_non_null(strstr(capture.text, "the path is too long: '////"));
    item[13 + OPTIONS_FILE_BYTES_MAX] = 0;
    assert_int_equal(parse(&capture, item), 1);
    expect_defaults();
}

static void test_environment(void **state)
{
    (void)state;
    struct capture capture;
    setenv("HAKMEM_OPTIONS", "stats=2,bad=1", 1);
    capture_error_begin(&capture);
    hak_options_read();
    capture_error_end(&capture);
    assert_string_equal(capture.text, "hakmem: HAKMEM_OPTIONS: offset 8: unknown option 'bad'\n");
    assert_int_equal(hak_options.stats, 2);
    unsetenv("HAKMEM_OPTIONS");
    hak_options_read();
    hak_options_defaults(&parsed);
    assert_memory_equal(&hak_options, &parsed, sizeof parsed);
}

static void test_help(void **state)
{
    (void)state;
    int ends[2];
    char text[4096] = "";
    assert_int_equal(pipe(ends), 0);
    hak_options_help(ends[1]);
    close(ends[1]);
    assert_true(read(ends[0], text, sizeof text - 1) > 0);
    close(ends[0]);
    assert_non_null(strstr(text, "arena_mib          0 to 16777216, default    0   address space"));
    assert_non_null(strstr(text, "\nprewarm         SIZE:BLOCKS+"));
    assert_non_null(strstr(text, "purge_delay_ms     0 to  3600000, default  100   "));
    unsigned lines = 0;
    for (const char *at = text; *at != 0; at++)
        lines += *at == '\n';
    assert_int_equal(lines, offsetof(struct options, prewarm) / sizeof(uint64_t) + 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_refused_values),
        cmocka_unit_test(test_mixed),
        cmocka_unit_test(test_long_item),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_file_refused),
        cmocka_unit_test(test_file_bounds),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_prewarm),
        cmocka_unit_test(test_prewarm_refused),
        cmocka_unit_test(test_prewarm_bytes),
        cmocka_unit_test(test_profile_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// test_sampled.c: with every allocation sampled, while there is room: each mistake with a block is
// told with what, where and both stacks, at once or at its free.
#define _GNU_SOURCE 1
#include "support.h"

#include <stdio.h>
#include <stdlib.h>

#include "config.h"
#include "hakmem.h"
#include "sampled.h"
#include <seam/sanitizer.h>
#include <seam/stack.h>

enum { BYTES = 100 };

// A block in its own place of the pool, its address known to nobody else.
__attribute__((noinline)) static char *allocate(size_t n)
{
    char *p = hak_malloc(n);
    assert_non_null(p);
    assert_true(hak_sampled_has(p));
    __asm__ volatile("" : "+r"(p));
    return p;
}

// One of two that begins (or else ends) with its page.
static char *allocate_at(bool begin)
{
    for (;;) { // one of two does
        char *p = allocate(BYTES);
        if (((uintptr_t)p % (uintptr_t)sysconf(_SC_PAGESIZE) == 0) == begin)
            return p;
        hak_free(p);
    }
}

static void touch(const volatile char *p)
{
    __asm__ volatile("" : "+r"(p));
    (void)*p;
}

static void write_at(volatile char *p)
{
    *p = 'B';
}

static void expect(struct capture *capture, const char *what, const char *p, size_t bytes, int at,
                   bool freed)
{
    char line[160];
    snprintf(line, sizeof line, "hakmem: %s %p (sampled, %zu bytes) at byte %d\n", what,
             (const void *)p, bytes, at);
    if (strncmp(capture->text, line, strlen(line)) != 0)
        fail_msg("said: %s not: %s", capture->text, line);
    assert_aborted(capture);
    assert_non_null(strstr(capture->text, "\n  allocated at 0x"));
    assert_int_equal(strstr(capture->text, "\n  freed at 0x") != NULL, freed);
    assert_non_null(strstr(capture->text, "test_sampled+0x")
                        ?: strstr(capture->text, "program+0x"));
}

static void test_blocks(void **state)
{
    (void)state;
    char *blocks[SAMPLED_BLOCKS];
    hak_free(allocate_at(true)); // either comes, sooner or later
    hak_free(allocate_at(false));
    for (unsigned i = 0; i < SAMPLED_BLOCKS; i++) {
        size_t n = 1 + i * 61 % 4000;
        blocks[i] = i % 2 == 0 ? allocate(n) : hak_calloc(n, 1);
        assert_true(hak_sampled_has(blocks[i]));
        assert_int_equal((uintptr_t)blocks[i] % MALLOC_ALIGN, 0);
        assert_int_equal(hak_malloc_usable_size(blocks[i]), n);
        sanitize_defined(blocks[i], n); // of malloc too, which no user can count on
        for (size_t b = 0; b < n; b++)
            assert_int_equal(blocks[i][b], 0);
        memset(blocks[i], (int)i, n);
    }
    // All places are taken.
    char *p = hak_malloc(BYTES);
    assert_true(p != NULL && !hak_sampled_has(p));
    hak_free(p);
    for (unsigned i = 0; i < SAMPLED_BLOCKS; i++) {
        assert_int_equal(blocks[i][0], (char)i);
        hak_free(blocks[i]);
    }
    // The place that was freed first is taken first.
    p = allocate(BYTES);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    assert_int_equal((uintptr_t)p / page, (uintptr_t)blocks[0] / page);
    p = hak_realloc(p, 2 * BYTES);
    assert_true(hak_sampled_has(p));
    hak_free(p);
    p = hak_aligned_alloc(512, 600);
    assert_true(hak_sampled_has(p));
    assert_int_equal((uintptr_t)p % 512, 0);
    hak_free_aligned_sized(p, 512, 600);
    // A block may fill its page, but not be longer.
    p = hak_aligned_alloc(page, page);
    assert_true(hak_sampled_has(p));
    hak_free(p);
    p = hak_malloc(page + 1);
    assert_false(hak_sampled_has(p));
    hak_free(p);
}

// In a child, whose handlers run_in_child has taken away.
static char *watched(const void *argument)
{
    stack_watch_access();
    return (char *)(uintptr_t)argument;
}

static void read_freed(const void *argument)
{
    char *p = watched(argument);
    hak_free(p);
    touch(p + 5);
}

static void write_behind_page(const void *argument)
{
    char *p = watched(argument);
    write_at((char *)(((uintptr_t)p | (uintptr_t)(sysconf(_SC_PAGESIZE) - 1)) + 1));
}

static void write_before_page(const void *argument)
{
    write_at(watched(argument) - 1);
}

static void write_and_free(const void *argument)
{
    char *p = watched(argument);
    write_at(p + BYTES);
    hak_free(p);
}

static void write_before_and_free(const void *argument)
{
    char *p = watched(argument);
    write_at(p - 1);
    hak_free(p);
}

static void free_twice(const void *argument)
{
    char *p = watched(argument);
    hak_free(p);
    hak_free(p);
}

static void free_inside(const void *argument)
{
    hak_free(watched(argument) + 16);
}

static void realloc_freed(const void *argument)
{
    char *p = watched(argument);
    hak_free(p);
    (void)!hak_realloc(p, BYTES);
}

static void test_mistakes(void **state)
{
    (void)state;
    struct capture capture;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *begins = allocate_at(true), *ends = allocate_at(false);
    int behind = (int)(page - (uintptr_t)ends % page);
    run_in_child(&capture, read_freed, begins);
    expect(&capture, "use after free of", begins, BYTES, 5, true);
    run_in_child(&capture, write_behind_page, ends);
    expect(&capture, "access out of bounds of", ends, BYTES, behind, false);
    run_in_child(&capture, write_before_page, begins);
    expect(&capture, "access out of bounds of", begins, BYTES, -1, false);
    run_in_child(&capture, write_and_free, ends);
    expect(&capture, "write past the end of", ends, BYTES, BYTES, false);
    run_in_child(&capture, write_and_free, begins);
    expect(&capture, "write past the end of", begins, BYTES, BYTES, false);
    run_in_child(&capture, write_before_and_free, ends);
    expect(&capture, "write before the begin of", ends, BYTES, -1, false);
    run_in_child(&capture, free_twice, begins);
    expect(&capture, "double free of", begins, BYTES, 0, true);
    run_in_child(&capture, free_inside, begins);
    expect(&capture, "invalid free of", begins, BYTES, 16, false);
    run_in_child(&capture, realloc_freed, begins);
    expect(&capture, "invalid realloc of", begins, BYTES, 0, true);
    hak_free(begins);
    hak_free(ends);
}

static void read_nothing(const void *argument)
{
    touch(watched(argument));
}

// Other faults of the program end it as they would without us.
static void free_with_wrong_size(const void *argument)
{
    hak_free_sized((void *)(uintptr_t)argument, BYTES + 1);
    _exit(3);
}

static void test_sized(void **state)
{
    (void)state;
    struct capture capture;
    char *p = allocate(BYTES);
    run_in_child(&capture, free_with_wrong_size, p);
    if (MITIGATE_POINTERS) {
        assert_aborted(&capture);
        assert_non_null(strstr(capture.text, "hakmem: sized free with wrong size of 0x"));
    } else {
        assert_exited(&capture, 3);
    }
    hak_free_sized(p, BYTES);
}

static void test_other_faults(void **state)
{
    (void)state;
    struct capture capture;
    run_in_child(&capture, read_nothing, (const void *)16);
    assert_true(WIFSIGNALED(capture.status) && WTERMSIG(capture.status) == SIGSEGV);
    assert_string_equal(capture.text, "");
}

// As a user's program: no test harness has touched the signal's handler.
static void use_after_free(void)
{
    // The last of these find no place in the pool: from now on there are blocks at hand.
    void *blocks[SAMPLED_BLOCKS + 3];
    for (unsigned i = 0; i < SAMPLED_BLOCKS + 3; i++)
        blocks[i] = hak_malloc(BYTES);
    for (unsigned i = 0; i < SAMPLED_BLOCKS + 3; i++)
        hak_free(blocks[i]);
    char *p = hak_malloc(BYTES);
    hak_free(p);
    touch(p);
}

static void run_program(const void *options)
{
    setenv("HAKMEM_OPTIONS", options, 1);
    exec_self((char *[]){ (char *)"use-after-free", NULL });
}

static void test_program(void **state)
{
    (void)state;
    struct capture capture;
    if (under_a_tool())
        skip(); // it starts itself anew, which only a kernel does
    static const char *const options[] = { "sample=1", "sample=1,profile=4294967295",
                                           "sample=1,count_hits=1" };
    for (unsigned i = 0; i < sizeof options / sizeof *options; i++) {
        run_in_child(&capture, run_program, options[i]);
        assert_aborted(&capture);
        assert_non_null(strstr(capture.text, "hakmem: use after free of 0x"));
        assert_non_null(strstr(capture.text, " (sampled, 100 bytes) at byte 0\n  allocated at 0x"));
    }
}

// ---- what the system refuses, and places around the end of the pool ----

static bool refuse_reserve, refuse_entropy, refuse_commit, refuse_protect;

void *__real_hak_os_reserve(size_t bytes, size_t align);
void *__wrap_hak_os_reserve(size_t bytes, size_t align);
bool __real_hak_os_entropy(void *out, size_t bytes);
bool __wrap_hak_os_entropy(void *out, size_t bytes);
bool __real_hak_os_commit(void *p, size_t bytes);
bool __wrap_hak_os_commit(void *p, size_t bytes);
bool __real_hak_os_protect_none(void *p, size_t bytes);
bool __wrap_hak_os_protect_none(void *p, size_t bytes);

void *__wrap_hak_os_reserve(size_t bytes, size_t align)
{
    return refuse_reserve ? NULL : __real_hak_os_reserve(bytes, align);
}

bool __wrap_hak_os_entropy(void *out, size_t bytes)
{
    return !refuse_entropy && __real_hak_os_entropy(out, bytes);
}

bool __wrap_hak_os_commit(void *p, size_t bytes)
{
    return !refuse_commit && __real_hak_os_commit(p, bytes);
}

bool __wrap_hak_os_protect_none(void *p, size_t bytes)
{
    return !refuse_protect && __real_hak_os_protect_none(p, bytes);
}

static void test_refusals(void **state)
{
    (void)state;
    refuse_commit = true; // the place goes back, another block serves
    char *p = hak_malloc(BYTES);
    refuse_commit = false;
    assert_true(p != NULL && !hak_sampled_has(p));
    hak_free(p);
    refuse_protect = true; // it reads as zero then
    p = allocate(BYTES);
    memset(p, 7, BYTES);
    hak_free(p);
    refuse_protect = false;
    sanitize_open(p, BYTES);
    for (unsigned i = 0; i < BYTES; i++)
        assert_int_equal(p[i], 0);
}

static void start_again(const void *refused)
{
    refuse_reserve = refused != NULL;
    hak_sampled_start(); // nothing is sampled, or everything as before
    refuse_reserve = false;
    refuse_entropy = true;
    hak_sampled_start();
    char *p = hak_malloc(BYTES);
    CHILD_CHECK(hak_sampled_has(p));
    hak_free(p);
    _exit(3);
}

static void test_start_refused(void **state)
{
    (void)state;
    if (MITIGATE_SEAL)
        skip(); // it starts once
    struct capture capture;
    run_in_child(&capture, start_again, "refused");
    assert_exited(&capture, 3);
}

// An access to a guard is laid to the nearer of its two neighbours that was in use.
static void touch_guard(const void *argument)
{
    hak_on_refused_access((void *)(uintptr_t)argument);
    _exit(4);
}

static void expect_out_of_bounds(const char *at, const char *of)
{
    struct capture capture;
    char line[128];
    run_in_child(&capture, touch_guard, at);
    snprintf(line, sizeof line,
             "hakmem: access out of bounds of %p (sampled, %u bytes) at byte %td\n",
             (const void *)of, BYTES, at - of);
    assert_aborted(&capture);
    if (strncmp(capture.text, line, strlen(line)) != 0)
        fail_msg("said: %s not: %s", capture.text, line);
}

static void test_guards(void **state)
{
    (void)state;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    char *p = allocate(BYTES); // the only block so far: the first place
    char *begin = (char *)((uintptr_t)p & ~(page - 1));
    expect_out_of_bounds(begin - page + 1, p);
    expect_out_of_bounds(begin + page + 1, p);
    expect_out_of_bounds(begin + 2 * page - 1, p); // the second place was never used
    hak_free(p);
    char *blocks[SAMPLED_BLOCKS];
    for (unsigned i = 0; i < SAMPLED_BLOCKS; i++)
        blocks[i] = allocate(BYTES);
    // The first place was freed before the others were ever used, so it comes last.
    char *last = blocks[SAMPLED_BLOCKS - 2];
    char *end = (char *)((uintptr_t)last & ~(page - 1)) + page;
    expect_out_of_bounds(end + page - 1, last);
    for (unsigned i = 0; i < SAMPLED_BLOCKS; i++)
        hak_free(blocks[i]);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guards), // before any other place was used
        cmocka_unit_test(test_blocks),        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_other_faults),  cmocka_unit_test(test_sized),
        cmocka_unit_test(test_program),       cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_start_refused),
    };
    setenv("HAKMEM_OPTIONS", "sample=1", 1);
    if (argc == 2 && strcmp(argv[1], "use-after-free") == 0) {
        use_after_free();
        return 0;
    }
    hak_free(hak_malloc(1)); // gives the thread its heap; is not sampled
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// test_os.c: the promises of os.h, asked of the running kernel: access, zeroes, memory given back,
// failures that change nothing, errno untouched.
#define _GNU_SOURCE 1
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include <seam/os.h>

#define MIB ((size_t)1 << 20)

static size_t page;
static int probe[2]; // a pipe: the kernel reads and writes memory on our behalf, without a SIGSEGV

static bool readable(const void *p)
{
    char byte;
    int saved = errno;
    REPORTS_OFF;
    bool good = write(probe[1], p, 1) == 1;
    REPORTS_ON;
    errno = saved;
    if (good)
        assert_int_equal(read(probe[0], &byte, 1), 1);
    return good;
}

// Writes the byte that is there already.
static bool writable(void *p)
{
    char byte;
    int saved = errno;
    REPORTS_OFF;
    bool sent = readable(p) && write(probe[1], p, 1) == 1;
    bool good = sent && read(probe[0], p, 1) == 1;
    REPORTS_ON;
    errno = saved;
    if (sent && !good)
        assert_int_equal(read(probe[0], &byte, 1), 1);
    return good;
}

// Of the whole process, as the kernel counts them.
static size_t mapped_pages(void)
{
    char text[64] = "";
    int fd = open("/proc/self/statm", O_RDONLY);
    assert_true(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
    close(fd);
    return strtoull(text, NULL, 10);
}

static size_t resident_pages(void *p, size_t bytes)
{
    unsigned char state[4096];
    assert_true(bytes / page <= sizeof state);
    assert_int_equal(mincore(p, bytes, state), 0);
    size_t n = 0;
    for (size_t i = 0; i < bytes / page; i++)
        n += state[i] & 1;
    return n;
}

static bool is_zero(const char *p, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (p[i] != 0)
            return false;
    return true;
}

static char *committed(size_t bytes)
{
    char *p = os_reserve(bytes, page);
    assert_non_null(p);
    assert_true(os_commit(p, bytes));
    return p;
}

static void test_page_size(void **state)
{
    (void)state;
    assert_true(is_power_of_two(page) && page >= 4096);
    assert_int_equal(page, getpagesize());
}

static void test_reserve(void **state)
{
    (void)state;
    for (size_t align = page; align <= 64 * MIB; align *= 2) {
        for (size_t bytes = page; bytes <= 8 * MIB; bytes = 3 * bytes) {
            char *p = os_reserve(bytes, align);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p & (align - 1), 0);
            assert_false(readable(p));
            assert_false(readable(p + bytes - 1));
            assert_true(os_release(p, bytes));
        }
    }
}

// Reserving and releasing, aligned or not, leaves nothing behind.
static void test_reserve_keeps_nothing(void **state)
{
    (void)state;
    if (under_qemu())
        skip(); // its own pages are counted
    size_t before = mapped_pages();
    for (int i = 0; i < 500; i++) {
        char *p = os_reserve((size_t)1 << 30, 64 * MIB);
        assert_non_null(p);
        assert_true(os_release(p, (size_t)1 << 30));
    }
    assert_true(mapped_pages() < before + 500); // a page each would be too much
}

static void test_reserve_refused(void **state)
{
    (void)state;
    errno = 77;
    assert_null(os_reserve(SIZE_MAX / 2 + 1, page));
    assert_null(os_reserve(SIZE_MAX & ~(page - 1), 2 * MIB));
    assert_int_equal(errno, 77);
}

static void test_commit_decommit(void **state)
{
    (void)state;
    size_t bytes = 64 * page;
    char *p = os_reserve(bytes, page);
    assert_non_null(p);
    errno = 77;
    assert_true(os_commit(p + page, 8 * page));
    assert_false(readable(p));
    assert_false(readable(p + 9 * page));
    assert_true(writable(p + page));
    assert_true(is_zero(p + page, 8 * page));
    assert_true(os_commit(p, bytes));
    memset(p, 0xa5, bytes);
    assert_int_equal(resident_pages(p, bytes), 64);
    assert_true(os_decommit(p + 4 * page, 16 * page));
    assert_int_equal(resident_pages(p, bytes), 48);
    assert_true(is_zero(p + 4 * page, 16 * page));
    assert_int_equal((unsigned char)p[4 * page - 1], 0xa5);
    assert_int_equal((unsigned char)p[20 * page], 0xa5);
    assert_true(writable(p + 4 * page));
    assert_int_equal(errno, 77);
    assert_true(os_release(p, bytes));
}

static void test_decommit_locked(void **state)
{
    (void)state;
    char *p = committed(4 * page);
    if (mlock(p, 2 * page) != 0)
        skip(); // RLIMIT_MEMLOCK
    memset(p, 0xa5, 4 * page);
    errno = 77;
    assert_true(os_decommit(p, 4 * page)); // over the edge of the locked part
    assert_int_equal(errno, 77);
    assert_true(is_zero(p, 4 * page));
    assert_true(writable(p));
    assert_true(os_release(p, 4 * page));
}

// Whether a core dump would have the page: what /proc says of the mapping that holds it.
static bool is_dumped(const void *p)
{
    char line[256];
    bool here = false, dumped = true;
    uintptr_t begin, end;
    FILE *maps = fopen("/proc/self/smaps", "re");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps) != NULL) {
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &begin, &end) == 2)
            here = (uintptr_t)p >= begin && (uintptr_t)p < end;
        else if (here && strncmp(line, "VmFlags:", 8) == 0)
            dumped = strstr(line, " dd") == NULL;
    }
    fclose(maps);
    return dumped;
}

static void test_dump(void **state)
{
    (void)state;
    if (under_qemu())
        skip(); // it has no smaps of its own
    char *p = hak_os_reserve(4 * page, page);
    assert_true(is_dumped(p));
    errno = 77;
    hak_os_dump(p, 4 * page, false);
    assert_true(hak_os_commit(p + page, page));
    hak_os_dump(p + page, page, true);
    assert_int_equal(errno, 77);
    assert_false(is_dumped(p));
    assert_true(is_dumped(p + page));
    assert_false(is_dumped(p + 2 * page));
    hak_os_dump(p + 1, page, true); // refused
    assert_int_equal(errno, 77);
    assert_true(hak_os_release(p, 4 * page));
}

static void test_protect_none(void **state)
{
    (void)state;
    char *p = committed(8 * page);
    memset(p, 0xa5, 8 * page);
    errno = 77;
    assert_true(os_protect_none(p + 2 * page, 4 * page));
    assert_false(readable(p + 2 * page));
    assert_false(readable(p + 6 * page - 1));
    if (!under_qemu()) // whose mincore refuses what cannot be read
        assert_int_equal(resident_pages(p, 8 * page), 4);
    assert_true(os_commit(p + 2 * page, 4 * page));
    assert_true(is_zero(p + 2 * page, 4 * page));
    assert_int_equal((unsigned char)p[0], 0xa5);
    assert_int_equal(errno, 77);
    assert_true(os_release(p, 8 * page));
}

// Calls on addresses that are not mapped fail and say so.
static void test_failures(void **state)
{
    (void)state;
    char *p = committed(4 * page);
    assert_true(os_release(p, 4 * page));
    errno = 77;
    assert_false(os_commit(p, 4 * page));
    assert_false(os_release(p + 1, page));
    if (!UNDER_VALGRIND) // whose mremap ends with an internal error then
        assert_null(os_extend(p, 4 * page, 8 * page));
    os_advise_huge(p, 4 * page);
    assert_int_equal(errno, 77);
}

static void test_move(void **state)
{
    (void)state;
    size_t bytes = 16 * page;
    char *from = committed(bytes), *to = committed(bytes);
    for (size_t i = 0; i < bytes; i++)
        from[i] = (char)(i / 7);
    memset(to, 0xa5, bytes);
    errno = 77;
    bool moved = os_move(to, from, bytes);
    assert_int_equal(errno, 77);
    for (size_t i = 0; i < bytes; i++) {
        assert_int_equal((moved ? to : from)[i], (char)(i / 7));
        if (moved)
            assert_int_equal(from[i], 0);
    }
    assert_true(writable(from));
    assert_true(writable(to));
    // Both stay single ranges that everything else works on.
    assert_true(os_decommit(to, bytes));
    assert_true(os_commit(from, bytes));
    assert_true(os_release(from, bytes));
    assert_true(os_release(to, bytes));
    if (!moved)
        skip(); // a kernel before 5.7
}

// A source of several mappings: moved whole or not at all.
static void test_move_of_several(void **state)
{
    (void)state;
    size_t bytes = 8 * page;
    char *from = committed(bytes), *to = committed(bytes);
    memset(from, 0x5a, bytes);
    assert_int_equal(mprotect(from + 3 * page, page, PROT_READ), 0);
    bool moved = os_move(to, from, bytes);
    const char *kept = moved ? to : from;
    for (size_t i = 0; i < bytes; i++)
        assert_int_equal(kept[i], 0x5a);
    assert_true(readable(from) && readable(from + bytes - 1));
    assert_true(readable(to) && readable(to + bytes - 1));
    assert_true(os_release(from, bytes));
    assert_true(os_release(to, bytes));
}

// However often locked pages are moved, no more are locked than there are.
static void test_move_locked(void **state)
{
    (void)state;
    size_t bytes = 4 * page;
    unsigned long before = locked_kib();
    char *from = committed(bytes), *to = committed(bytes);
    if (mlock(from, bytes) != 0)
        skip(); // RLIMIT_MEMLOCK
    memset(from, 0x5a, bytes);
    bool moved = os_move(to, from, bytes);
    assert_int_equal((moved ? to : from)[bytes - 1], 0x5a);
    assert_true(os_release(from, bytes));
    assert_true(os_release(to, bytes));
    assert_int_equal(locked_kib(), before);
}

static void forbid_address_space(size_t spare)
{
    struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
    limit.rlim_cur = mapped_pages() * page + spare;
    CHILD_CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
}

static void move_without_space(const void *argument)
{
    (void)argument;
    size_t bytes = 4 * MIB;
    char *from = os_reserve(bytes, page), *to = os_reserve(bytes, page);
    CHILD_CHECK(from != NULL && to != NULL && os_commit(from, bytes) && os_commit(to, bytes));
    memset(from, 0x5a, bytes);
    forbid_address_space(0);
    CHILD_CHECK(!os_move(to, from, bytes));
    for (size_t i = 0; i < bytes; i++)
        CHILD_CHECK(from[i] == 0x5a);
    CHILD_CHECK(writable(to) && writable(to + bytes - 1));
    CHILD_CHECK(os_extend(from, bytes, 2 * bytes) == NULL);
    CHILD_CHECK(from[bytes - 1] == 0x5a);
    CHILD_CHECK(os_reserve(MIB, page) == NULL);
}

static void use_what_is_left(const void *argument)
{
    (void)argument;
    CHILD_CHECK(hak_os_address_space_left() == SIZE_MAX);
    forbid_address_space(100 * MIB);
    errno = 77;
    size_t left = hak_os_address_space_left();
    CHILD_CHECK(errno == 77);
    CHILD_CHECK(left <= 100 * MIB && left >= 90 * MIB);
    CHILD_CHECK(os_reserve(101 * MIB, page) == NULL);
    CHILD_CHECK(os_reserve(80 * MIB, page) != NULL);
    CHILD_CHECK(hak_os_address_space_left() <= 20 * MIB);
}

static void test_limited(void **state)
{
    (void)state;
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_AS, &limit), 0);
    if (limit.rlim_cur != RLIM_INFINITY || under_a_tool())
        skip();
    struct capture capture;
    run_in_child(&capture, move_without_space, NULL);
    assert_string_equal(capture.text, "");
    assert_exited(&capture, 0);
    run_in_child(&capture, use_what_is_left, NULL);
    assert_string_equal(capture.text, "");
    assert_exited(&capture, 0);
}

static void test_extend(void **state)
{
    (void)state;
    char *p = committed(4 * page);
    memset(p, 0x5a, 4 * page);
    errno = 77;
    p = os_extend(p, 4 * page, 4096 * page);
    assert_non_null(p);
    assert_int_equal(p[4 * page - 1], 0x5a);
    assert_true(is_zero(p + 4 * page, page));
    assert_true(writable(p + 4095 * page));
    char *q = os_extend(p, 4096 * page, page);
    if (!under_qemu()) // which always moves
        assert_ptr_equal(q, p);
    p = q;
    assert_int_equal(p[page - 1], 0x5a);
    assert_null(os_extend(p, page, SIZE_MAX / 2 + 1));
    assert_int_equal(p[page - 1], 0x5a);
    assert_int_equal(errno, 77);
    assert_true(os_release(p, page));
}

static void test_clock(void **state)
{
    (void)state;
    uint64_t start = os_clock_ms(), last = start;
    nanosleep(&(struct timespec){ .tv_nsec = 30000000 }, NULL);
    for (int i = 0; i < 100000; i++) {
        uint64_t now = os_clock_ms();
        assert_true(now >= last);
        last = now;
    }
    assert_true(last - start >= 20); // 30 less a coarse step
}

static void test_entropy(void **state)
{
    (void)state;
    unsigned char a[600] = { 0 }, b[600] = { 0 };
    errno = 77;
    assert_true(hak_os_entropy(a, sizeof a - 8));
    assert_true(hak_os_entropy(b, sizeof b - 8));
    assert_int_equal(errno, 77);
    assert_true(memcmp(a, b, sizeof a - 8) != 0);
    assert_true(memcmp(a + 300, b + 300, 280) != 0);
    assert_true(is_zero((char *)a + sizeof a - 8, 8));
}

static void test_environment(void **state)
{
    (void)state;
    setenv("HAK_UNIT_TEST", "value", 1);
    assert_string_equal(hak_os_environment("HAK_UNIT_TEST"), "value");
    unsetenv("HAK_UNIT_TEST");
    assert_null(hak_os_environment("HAK_UNIT_TEST"));
}

static void test_write(void **state)
{
    (void)state;
    char text[8] = "";
    errno = 77;
    assert_true(hak_os_write_fd(probe[1], "abc", 3));
    assert_true(hak_os_write_fd(probe[1], "", 0));
    assert_int_equal(read(probe[0], text, sizeof text), 3);
    assert_string_equal(text, "abc");
    assert_false(hak_os_write_fd(1 << 20, "abc", 3));
    int full = open("/dev/full", O_WRONLY);
    assert_true(full >= 0);
    assert_false(hak_os_write_fd(full, "abc", 3));
    close(full);
    assert_int_equal(errno, 77);
}

static void test_page_faults(void **state)
{
    (void)state;
    uint64_t minor[2], major[2];
    char *p = committed(64 * page);
    hak_os_page_faults(&minor[0], &major[0]);
    for (size_t i = 0; i < 64; i++)
        p[i * page] = 1;
    hak_os_page_faults(&minor[1], &major[1]);
    assert_true(minor[1] > minor[0]); // 64, or fewer with larger pages
    assert_true(major[1] >= major[0]);
    assert_true(os_release(p, 64 * page));
}

static void stop(const void *argument)
{
    (void)argument;
    hak_os_abort();
}

static void test_abort(void **state)
{
    (void)state;
    struct capture capture;
    run_in_child(&capture, stop, NULL);
    assert_aborted(&capture);
    assert_string_equal(capture.text, "");
}

static int start(void **state)
{
    (void)state;
    page = os_page_size();
    return pipe(probe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page_size),
        cmocka_unit_test(test_reserve),
        cmocka_unit_test(test_reserve_keeps_nothing),
        cmocka_unit_test(test_reserve_refused),
        cmocka_unit_test(test_commit_decommit),
        cmocka_unit_test(test_decommit_locked),
        cmocka_unit_test(test_protect_none),
        cmocka_unit_test(test_dump),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_move),
        cmocka_unit_test(test_move_of_several),
        cmocka_unit_test(test_move_locked),
        cmocka_unit_test(test_limited),
        cmocka_unit_test(test_extend),
        cmocka_unit_test(test_clock),
        cmocka_unit_test(test_entropy),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_write),
        cmocka_unit_test(test_page_faults),
        cmocka_unit_test(test_abort),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}

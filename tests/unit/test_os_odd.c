// test_os_odd.c: system calls that are interrupted, refused, or bring less than was asked for.
#define _GNU_SOURCE 1
#include "support.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>

#include <seam/os.h>

#define MIB ((size_t)1 << 20)
#ifndef SYS_mseal
#define SYS_mseal 462
#endif

static struct {
    unsigned interrupts; // so many calls come back with EINTR first
    bool no_proc, bad_fstat, bad_read, no_entropy;
    const void *sealed; // what mseal was called for
    size_t sealed_bytes;
} odd;

static bool interrupted(void)
{
    if (odd.interrupts == 0)
        return false;
    odd.interrupts--;
    errno = EINTR;
    return true;
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
ssize_t __real_getrandom(void *out, size_t bytes, unsigned flags);
ssize_t __wrap_getrandom(void *out, size_t bytes, unsigned flags);

long __wrap_syscall(long number, ...)
{
    long a[6];
    va_list list;
    va_start(list, number);
    for (unsigned i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if ((number == SYS_read || number == SYS_write) && interrupted())
        return -1;
    if ((number == SYS_openat && odd.no_proc) || (number == SYS_read && odd.bad_read) ||
        (number == SYS_fstat && odd.bad_fstat)) {
        errno = EIO;
        return -1;
    }
    if (number == SYS_mseal) { // a kernel that knows none
        odd.sealed = (const void *)a[0];
        odd.sealed_bytes = (size_t)a[1];
        errno = ENOSYS;
        return -1;
    }
    return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

ssize_t __wrap_getrandom(void *out, size_t bytes, unsigned flags)
{
    if (interrupted())
        return -1;
    if (odd.no_entropy) {
        errno = EAGAIN;
        return -1;
    }
    return __real_getrandom(out, bytes > 3 ? 3 : bytes, flags); // in pieces
}

static void test_odd_calls(void **state)
{
    (void)state;
    unsigned char random[16] = { 0 };
    char text[64];
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    size_t bytes = 0;
    errno = 81;
    odd.interrupts = 2;
    assert_true(hak_os_entropy(random, sizeof random));
    odd.no_entropy = true;
    assert_false(hak_os_entropy(random, sizeof random));
    odd.interrupts = 2;
    assert_int_equal(hak_os_read_file("/proc/self/comm", text, sizeof text, &bytes), OS_READ_ALL);
    assert_true(bytes > 1 && odd.interrupts == 0);
    odd.interrupts = 2;
    assert_true(hak_os_write_fd(ends[1], "x", 1));
    assert_int_equal(read(ends[0], text, 1), 1);
    close(ends[0]);
    close(ends[1]);
    odd.bad_fstat = true;
    assert_int_equal(hak_os_read_file("/proc/self/comm", text, sizeof text, &bytes),
                     OS_READ_FAILED);
    odd.bad_fstat = false;
    odd.bad_read = true;
    assert_int_equal(hak_os_read_file("/proc/self/comm", text, sizeof text, &bytes),
                     OS_READ_FAILED);
    odd.bad_read = false;
    assert_int_equal(errno, 81);
}

static void count_without_proc(const void *argument)
{
    (void)argument;
    struct rlimit limit = { 4096 * MIB, 4096 * MIB };
    if (setrlimit(RLIMIT_AS, &limit) != 0)
        _exit(5);
    odd.no_proc = true;
    _exit(hak_os_address_space_left() == 2048 * MIB ? 3 : 4); // half of the limit
}

static void test_no_proc(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); // a limit that their shadows do not fit in
#endif
    if (under_a_tool())
        skip();
    struct capture capture;
    run_in_child(&capture, count_without_proc, NULL);
    assert_true(WIFEXITED(capture.status) && WEXITSTATUS(capture.status) == 3);
}

// The kernel is asked to seal what became read-only, nothing else; that it cannot is no failure.
static void test_no_mseal(void **state)
{
    (void)state;
    size_t bytes = 2 * (size_t)sysconf(_SC_PAGESIZE);
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(pages, MAP_FAILED);
    errno = 81;
    assert_true(hak_os_protect_read(pages, bytes));
    assert_ptr_equal(odd.sealed, pages);
    assert_int_equal(odd.sealed_bytes, bytes);
    odd.sealed = NULL;
    munmap(pages, bytes);
    assert_false(hak_os_protect_read(pages, bytes));
    assert_null(odd.sealed);
    assert_int_equal(errno, 81);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_odd_calls),
        cmocka_unit_test(test_no_proc),
        cmocka_unit_test(test_no_mseal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

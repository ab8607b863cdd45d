// test_lock.c: mutual exclusion, waking of sleepers, and the rank check of checked builds.
#define _GNU_SOURCE 1
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>

#include <seam/lock.h>

enum { THREADS = 6, ROUNDS = 30000 };

static struct lock lock = LOCK_INIT(RANK_HEAPS);
static struct lock higher = LOCK_INIT(RANK_META);
static uint64_t counter; // guarded by lock: an update that is lost shows in the sum

static void *count(void *argument)
{
    (void)argument;
    for (unsigned n = 0; n < ROUNDS; n++) {
        lock_acquire(&lock);
        counter++;
        lock_release(&lock);
    }
    return NULL;
}

static void test_contended(void **state)
{
    (void)state;
    pthread_t thread[THREADS];
    counter = 0;
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, count, NULL), 0);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    assert_int_equal(counter, (uint64_t)THREADS * ROUNDS);
}

// Sections far longer than the spinning: waiters sleep, and each is woken.
static void *count_slowly(void *argument)
{
    (void)argument;
    for (unsigned n = 0; n < 10; n++) {
        lock_acquire(&lock);
        uint64_t before = counter;
        nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL);
        counter = before + 1;
        lock_release(&lock);
    }
    return NULL;
}

static void test_sleepers(void **state)
{
    (void)state;
    pthread_t thread[THREADS];
    counter = 0;
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, count_slowly, NULL), 0);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    assert_int_equal(counter, THREADS * 10);
}

static pthread_barrier_t barrier;
static long waiter_id;

static void *wait_for_lock(void *argument)
{
    (void)argument;
    waiter_id = syscall(SYS_gettid);
    pthread_barrier_wait(&barrier);
    lock_acquire(&lock);
    lock_release(&lock);
    return NULL;
}

// As the kernel says: 'S' asleep, 'R' running or waiting for a processor.
static char waiter_state(void)
{
    char name[64], text[256] = "";
    snprintf(name, sizeof name, "/proc/self/task/%ld/stat", waiter_id);
    int fd = open(name, O_RDONLY);
    assert_true(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
    close(fd);
    return strrchr(text, ')')[2];
}

// A waiter gives up its processor for as long as the lock is held.
static void test_waiter_sleeps(void **state)
{
    (void)state;
    pthread_t thread;
    unsigned asleep = 0;
    pthread_barrier_init(&barrier, NULL, 2);
    lock_acquire(&lock);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_lock, NULL), 0);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 1000 && asleep < 10; i++) { // in a row, and on a busy machine, too
        nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
        asleep = waiter_state() == 'S' ? asleep + 1 : 0;
    }
    assert_int_equal(asleep, 10);
    lock_release(&lock);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void test_errno(void **state)
{
    (void)state;
    errno = 77;
    lock_acquire(&lock);
    lock_acquire(&higher);
    lock_release(&lock); // in any order
    lock_release(&higher);
    assert_int_equal(errno, 77);
}

static void take_twice(const void *argument)
{
    (void)argument;
    lock_acquire(&lock);
    lock_acquire(&lock);
}

static void take_lower(const void *argument)
{
    (void)argument;
    lock_acquire(&higher);
    lock_acquire(&lock);
}

static void release_free(const void *argument)
{
    (void)argument;
    lock_release(&lock);
}

static void expect_assertion(void (*body)(const void *), const char *condition)
{
    struct capture capture;
    run_in_child(&capture, body, NULL);
    assert_aborted(&capture);
    assert_non_null(strstr(capture.text, condition));
}

static void test_ranks(void **state)
{
    (void)state;
    if (!HAK_CHECKED)
        skip(); // a release build does not look, and the first case would wait for itself
    expect_assertion(take_twice, "assertion failed: held_ranks >> l->rank == 0");
    expect_assertion(take_lower, "assertion failed: held_ranks >> l->rank == 0");
    expect_assertion(release_free, "assertion failed: (held_ranks >> l->rank & 1) != 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contended),     cmocka_unit_test(test_sleepers),
        cmocka_unit_test(test_waiter_sleeps), cmocka_unit_test(test_errno),
        cmocka_unit_test(test_ranks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// test_attach_odd.c: forks in signal handlers: one that interrupted a slow path, a fork, or, after
// a report, the end of the process.
#define _GNU_SOURCE 1
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>

// Before the seam, which forbids the raw names from its include on.
static void raise_flag(unsigned *flag)
{
    __atomic_store_n(flag, 1, __ATOMIC_RELAXED);
}
static unsigned flag_is_up(unsigned *flag)
{
    return __atomic_load_n(flag, __ATOMIC_RELAXED);
}

#include <seam/lock.h>
#include <seam/os.h>

#include "attach.h"
#include "hakmem.h"
#include "heaps.h"

enum { THREADS = 3, FORKS = ROUNDS_HERE(60), TICK_US = 2000 };

static void check_audit(void)
{
    struct hak_audit_report report;
    if (hak_audit(&report))
        return;
    (void)!write(STDERR_FILENO, report.first_error, strlen(report.first_error));
    _exit(1);
}

static void handle(int number, void (*handler)(int))
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
    CHILD_CHECK(sigaction(number, &action, NULL) == 0);
}

// Waits for a child that says by its exit status whether all was well.
static void wait_for(pid_t child)
{
    int status = -1;
    CHILD_CHECK(child > 0);
    while (waitpid(child, &status, 0) < 0)
        CHILD_CHECK(errno == EINTR);
    CHILD_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void fork_once(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    wait_for(child);
}

// ---- in the middle of a slow path ----

static unsigned stop;
static unsigned forks;     // in handlers
static bool goes_on;       // children return from the handler: there are no other threads
static bool is_grandchild; // this process is such a child

static void fork_in_handler(int number)
{
    (void)number;
    int saved = errno;
    pid_t child = fork();
    if (child == 0) {
        alarm(patience(20));
        if (!goes_on)
            _exit(0);
        is_grandchild = true;
    } else {
        wait_for(child);
        if (++forks >= FORKS) {
            const struct itimerval none = { .it_value = { 0 } };
            setitimer(ITIMER_PROF, &none, NULL);
            raise_flag(&stop);
        }
    }
    errno = saved;
}

static void *churn(void *argument)
{
    unsigned seed = (unsigned)(uintptr_t)argument;
    void *p[16] = { NULL };
    while (!flag_is_up(&stop) && !is_grandchild) {
        unsigned i = (unsigned)rand_r(&seed) % 16;
        hak_free(p[i]);
        p[i] = hak_malloc((size_t)rand_r(&seed) % 600000); // mostly slow paths
    }
    for (unsigned i = 0; i < 16; i++)
        hak_free(p[i]);
    return NULL;
}

static void churn_and_fork(void)
{
    const struct itimerval tick = { { 0, TICK_US }, { 0, TICK_US } };
    hak_free(hak_malloc(1)); // a thread that attaches itself is not interrupted
    handle(SIGPROF, fork_in_handler);
    setitimer(ITIMER_PROF, &tick, NULL);
    churn(NULL);
}

// The slow path that was interrupted goes on in both processes.
static void fork_alone(const void *argument)
{
    (void)argument;
    alarm(patience(20));
    goes_on = true;
    churn_and_fork();
    check_audit();
    CHILD_CHECK(hak_heaps_idle() == hak_heaps_count() - 1); // its mark was not lost
    fork_once();
    _exit(0);
}

static void fork_among_threads(const void *argument)
{
    (void)argument;
    pthread_t thread[THREADS];
    sigset_t ticks;
    alarm(patience(20));
    sigemptyset(&ticks);
    sigaddset(&ticks, SIGPROF);
    pthread_sigmask(SIG_BLOCK, &ticks, NULL);
    for (uintptr_t i = 0; i < THREADS; i++)
        CHILD_CHECK(pthread_create(&thread[i], NULL, churn, (void *)(i + 1)) == 0);
    pthread_sigmask(SIG_UNBLOCK, &ticks, NULL);
    churn_and_fork();
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    check_audit();
    _exit(0);
}

// ---- with a lock held, for which a thread inside of the gate waits ----

static struct lock lock = LOCK_INIT(RANK_META);
static unsigned is_inside;

static void *wait_inside(void *argument)
{
    struct heap *h = hak_enter();
    raise_flag(&is_inside);
    lock_acquire(&lock);
    lock_release(&lock);
    hak_leave(h);
    return argument;
}

static void fork_with_lock(const void *argument)
{
    (void)argument;
    pthread_t thread;
    alarm(patience(20));
    hak_free(hak_malloc(1));
    lock_acquire(&lock);
    CHILD_CHECK(lock_is_any_held());
    CHILD_CHECK(pthread_create(&thread, NULL, wait_inside, NULL) == 0);
    while (!flag_is_up(&is_inside))
        usleep(1000);
    pid_t child = fork();
    if (child == 0) {
        fork_once(); // the mark of the thread that is gone is too
        _exit(0);
    }
    wait_for(child);
    lock_release(&lock);
    CHILD_CHECK(!lock_is_any_held());
    pthread_join(thread, NULL);
    check_audit();
    _exit(0);
}

// ---- in the middle of a fork ----

static bool raises;

// Registered before the allocator's handlers, so that it runs after them.
static void raise_in_fork(void)
{
    if (!raises)
        return;
    raises = false;
    raise(SIGPROF);
}

static void fork_in_fork(const void *argument)
{
    (void)argument;
    alarm(patience(20));
    hak_free(hak_malloc(1));
    handle(SIGPROF, fork_in_handler);
    raises = true;
    pid_t child = fork();
    if (child == 0)
        _exit(forks == 1 ? 0 : 1);
    wait_for(child);
    CHILD_CHECK(forks == 1);
    check_audit();
    _exit(0);
}

// ---- after a report ----

static void fork_and_exit(int number)
{
    (void)number;
    fork_once();
    _exit(os_is_aborting() ? 7 : 1);
}

// Told while the thread that frees twice gives its heap back, in release.
static void fork_after_report(const void *argument)
{
    (void)argument;
    alarm(patience(20));
    handle(SIGABRT, fork_and_exit);
    CHILD_CHECK(!os_is_aborting());
    void *p = hak_malloc(100);
    hak_free(p);
    hak_free(p);
    hak_thread_flush();
    _exit(2);
}

// As a handler that allocates may, with what the mistake has left.
static void abort_again(int number)
{
    (void)number;
    hak_os_write_error("h", 1);
    hak_os_abort();
}

static void abort_twice(const void *argument)
{
    (void)argument;
    alarm(patience(20));
    handle(SIGABRT, abort_again);
    hak_os_abort();
}

// ---- each in a process of its own ----

static void test(void (*body)(const void *), int status)
{
    struct capture capture;
    run_in_child(&capture, body, NULL);
    if (status == 0 && capture.text[0] != 0)
        fail_msg("%s", capture.text);
    assert_exited(&capture, status);
}

static void test_alone(void **state)
{
    (void)state;
    test(fork_alone, 0);
}

static void test_among_threads(void **state)
{
    (void)state;
    if (under_qemu())
        skip(); // a fork while other threads map memory stops it, without any allocator too
    test(fork_among_threads, 0);
}

static void test_with_lock(void **state)
{
    (void)state;
    test(fork_with_lock, 0);
}

static void test_in_fork(void **state)
{
    (void)state;
    test(fork_in_fork, 0);
}

static void test_after_report(void **state)
{
    (void)state;
    test(fork_after_report, 7);
}

// The program's handler runs once.
static void test_abort_again(void **state)
{
    (void)state;
    struct capture capture;
    run_in_child(&capture, abort_twice, NULL);
    assert_aborted(&capture);
    assert_string_equal(capture.text, "h");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alone),        cmocka_unit_test(test_among_threads),
        cmocka_unit_test(test_with_lock),    cmocka_unit_test(test_in_fork),
        cmocka_unit_test(test_after_report), cmocka_unit_test(test_abort_again),
    };
    pthread_atfork(raise_in_fork, NULL, NULL); // before the allocator's
    return cmocka_run_group_tests(tests, NULL, NULL);
}

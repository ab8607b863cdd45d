// test_signals.c: statistics at a signal: to standard error, to a file of the sender, in each
// format; a handler of the program stays; what cannot be watched is told. And at exit.
#define _GNU_SOURCE 1
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include <seam/signals.h>

#include "hakmem.h"

enum { TEXT = 1, JSON = 2, CSV = 3, FORMAT_SHIFT = 16 };

static void start(const char *options)
{
    setenv("HAKMEM_OPTIONS", options, 1);
    hak_free(hak_malloc(1));
}

// Asks this process. ThreadSanitizer runs handlers in calls that wait.
static int ask(int fd, int format)
{
    union sigval value = { .sival_int = fd | format << FORMAT_SHIFT };
    int result = sigqueue(getpid(), SIGUSR2, value);
    nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    return result;
}

static void wait_for_answer(int fd)
{
    while ((fcntl(fd, F_GET_SEALS) & F_SEAL_GROW) == 0) // complete
        nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
}

// What it wrote to the descriptor.
static size_t answer(int fd, char *text, size_t bytes)
{
    ssize_t n = pread(fd, text, bytes - 1, 0);
    text[n > 0 ? n : 0] = 0;
    return strlen(text);
}

static void to_standard_error(const void *argument)
{
    (void)argument;
    start("stats_signal=12");
    errno = 77;
    raise(SIGUSR2);
    CHILD_CHECK(errno == 77);
    _exit(7); // it goes on
}

static void test_kill(void **state)
{
    (void)state;
    struct capture capture;
    run_in_child(&capture, to_standard_error, NULL);
    assert_exited(&capture, 7);
    assert_non_null(strstr(capture.text, "hakmem "));
    assert_non_null(strstr(capture.text, "malloc_misses"));
}

static void formats(const void *argument)
{
    static char text[1 << 16];
    (void)argument;
    start("stats_signal=12,stats=0");
    for (int format = TEXT; format <= CSV; format++) {
        static const char *const begins[] = { "", "hakmem ", "{\"version\"", "table,row,name" };
        int fd = memfd_create("answer", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        CHILD_CHECK(ask(fd, format) == 0);
        wait_for_answer(fd);
        CHILD_CHECK(answer(fd, text, sizeof text) > 100);
        CHILD_CHECK(strncmp(text, begins[format], strlen(begins[format])) == 0);
        close(fd);
    }
}

// The other side of a pipe may never read: such files are not written to.
static void no_regular_file(const void *argument)
{
    int pipes[2];
    char c;
    (void)argument;
    start("stats_signal=12,stats=0");
    CHILD_CHECK(pipe2(pipes, O_NONBLOCK) == 0);
    CHILD_CHECK(ask(pipes[0], JSON) == 0);
    CHILD_CHECK(ask(1000, JSON) == 0); // not open
    CHILD_CHECK(read(pipes[0], &c, 1) < 0 && errno == EAGAIN);
}

// The program was stopped, say, and who asked does not wait any more.
static void asked_too_late(const void *argument)
{
    sigset_t asked;
    (void)argument;
    start("stats_signal=12,stats=0,arena_mib=64");
    sigemptyset(&asked);
    sigaddset(&asked, SIGUSR2);
    sigprocmask(SIG_BLOCK, &asked, NULL);
    int fd = memfd_create("answer", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHILD_CHECK(ask(fd, TEXT) == 0);
    close(fd);
    sigprocmask(SIG_UNBLOCK, &asked, NULL);
}

static void without_a_format(const void *argument)
{
    (void)argument;
    start("stats_signal=12,stats=3,arena_mib=64");
    CHILD_CHECK(ask(1000, 0) == 0);
}

static void in_child(void (*body)(const void *), struct capture *capture)
{
    run_in_child(capture, body, NULL);
    if (!WIFEXITED(capture->status) || WEXITSTATUS(capture->status) != 0)
        fail_msg("%d %s", capture->status, capture->text);
}

static void test_file(void **state)
{
    (void)state;
    struct capture capture;
    in_child(formats, &capture);
    assert_int_equal(capture.writes, 0);
    in_child(no_regular_file, &capture);
    assert_int_equal(capture.writes, 0);
    in_child(asked_too_late, &capture);
    assert_int_equal(capture.writes, 0);
    in_child(without_a_format, &capture);
    assert_int_equal(strncmp(capture.text, "table,row,name,value\n", 21), 0);
}

// A pipe that no one reads does not end the program; a SIGPIPE of its own still does.
static void broken_standard_error(const void *argument)
{
    int pipes[2];
    sigset_t pipe_only;
    (void)argument;
    signal(SIGPIPE, SIG_DFL);
    start("stats_signal=12");
    CHILD_CHECK(pipe(pipes) == 0 && dup2(pipes[1], STDERR_FILENO) == STDERR_FILENO);
    close(pipes[0]);
    close(pipes[1]);
    raise(SIGUSR2);
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigprocmask(SIG_BLOCK, &pipe_only, NULL);
    raise(SIGPIPE);
    raise(SIGUSR2);
    sigprocmask(SIG_UNBLOCK, &pipe_only, NULL);
    _exit(3);
}

static void test_broken_pipe(void **state)
{
    (void)state;
    struct capture capture;
    run_in_child(&capture, broken_standard_error, NULL);
    assert_true(WIFSIGNALED(capture.status) && WTERMSIG(capture.status) == SIGPIPE);
}

static int seen;

static void programs_own(int number)
{
    seen = number;
}

static void handler_of_the_program(const void *argument)
{
    (void)argument;
    signal(SIGUSR2, programs_own);
    start("stats_signal=12");
    raise(SIGUSR2);
    CHILD_CHECK(seen == SIGUSR2);
}

static void ignored(const void *argument)
{
    (void)argument;
    signal(SIGUSR2, SIG_IGN);
    start("stats_signal=12");
    raise(SIGUSR2);
}

static void kill_signal(const void *argument)
{
    (void)argument;
    start("stats_signal=9");
}

static void fault_signal(const void *argument)
{
    (void)argument;
    start("stats_signal=11");
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        void (*body)(const void *);
        const char *text;
    } cases[] = {
        { handler_of_the_program,
          "hakmem: stats_signal 12 is in use by the program: not watched\n" },
        { ignored, "hakmem: stats_signal 12 is in use by the program: not watched\n" },
        { kill_signal, "hakmem: stats_signal 9 cannot be watched\n" },
        { fault_signal, "hakmem: stats_signal 11 cannot be watched\n" },
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct capture capture;
        in_child(cases[i].body, &capture);
        assert_string_equal(capture.text, cases[i].text);
    }
}

// ---- at exit ----

static void ends_with_csv(const void *argument)
{
    (void)argument;
    start("stats=3");
    exit(0);
}

static void ends_with_text(const void *argument)
{
    (void)argument;
    start("stats=1");
    exit(0);
}

static void test_exit(void **state)
{
    (void)state;
    struct capture capture;
    in_child(ends_with_csv, &capture);
    assert_int_equal(strncmp(capture.text, "table,row,name,value\n", 21), 0);
    in_child(ends_with_text, &capture);
    assert_int_equal(strncmp(capture.text, "hakmem ", 7), 0);
}

// ---- in the middle of everything ----

static void *churn(void *argument)
{
    const bool *stop = argument;
    void *slots[64] = { 0 };
    for (unsigned i = 0; !__atomic_load_n(stop, __ATOMIC_RELAXED); i++) {
        void **slot = &slots[i * 7 % 64];
        hak_free(*slot);
        *slot = hak_malloc(i * 37 % 3000);
        if (i % 1000 == 0)
            hak_thread_flush();
    }
    for (unsigned i = 0; i < 64; i++)
        hak_free(slots[i]);
    return NULL;
}

static void busy(const void *argument)
{
    enum { THREADS = 3, SIGNALS = 200 };
    static char text[1 << 17];
    pthread_t threads[THREADS];
    bool stop = false;
    (void)argument;
    start("stats_signal=12,purge_delay_ms=1");
    for (unsigned i = 0; i < THREADS; i++)
        CHILD_CHECK(pthread_create(&threads[i], NULL, churn, &stop) == 0);
    unsigned answers = 0;
    for (unsigned i = 0; i < SIGNALS; i++) {
        int fd[THREADS];
        for (unsigned t = 0; t < THREADS; t++) {
            fd[t] = memfd_create("answer", MFD_CLOEXEC | MFD_ALLOW_SEALING);
            union sigval value = { .sival_int = fd[t] | JSON << FORMAT_SHIFT };
            CHILD_CHECK(pthread_sigqueue(threads[t], SIGUSR2, value) == 0);
        }
        for (unsigned t = 0; t < THREADS; t++) {
            wait_for_answer(fd[t]);
            size_t n = answer(fd[t], text, sizeof text);
            close(fd[t]);
            // Nothing, while another thread writes its report.
            answers += n != 0;
            CHILD_CHECK(n == 0 || (n > 100 && strcmp(text + n - 3, "]}\n") == 0));
            CHILD_CHECK(n == 0 || strncmp(text, "{\"version\"", 10) == 0);
        }
    }
    CHILD_CHECK(answers >= SIGNALS);
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    struct hak_audit_report report;
    CHILD_CHECK(hak_audit(&report));
}

static void test_busy(void **state)
{
    (void)state;
    struct capture capture;
    in_child(busy, &capture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kill),        cmocka_unit_test(test_file),
        cmocka_unit_test(test_broken_pipe), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_exit),        cmocka_unit_test(test_busy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

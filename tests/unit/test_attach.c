// test_attach.c: a thread's way to its heap and back, late destructors, and the gate that a fork
// closes.
#define _GNU_SOURCE 1
#include "support.h"

#include <pthread.h>
#include <stdlib.h>

// Before the seam, which forbids the raw names from its include on.
static void raise_flag(unsigned *flag)
{
    __atomic_store_n(flag, 1, __ATOMIC_RELAXED);
}
static unsigned flag_is_up(unsigned *flag)
{
    return __atomic_load_n(flag, __ATOMIC_RELAXED);
}

#include <seam/tls.h>

#include "attach.h"
#include "hakmem.h"
#include "heaps.h"

enum { THREADS = 4, FORKS = ROUNDS_HERE(60), LATE_ROUNDS = 50 };

static void check_audit(void)
{
    struct hak_audit_report report;
    if (!hak_audit(&report))
        fail_msg("%s", report.first_error);
}

// Runs `body` in a thread of its own, to its very end.
static void *in_thread(void *(*body)(void *), void *argument)
{
    pthread_t thread;
    void *result = NULL;
    assert_int_equal(pthread_create(&thread, NULL, body, argument), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    return result;
}

static void test_enter_leave(void **state)
{
    (void)state;
    struct heap *h = hak_enter();
    assert_non_null(h);
    assert_true(hak_started());
    assert_ptr_equal(tls_heap(), h);
    assert_true(hak_heap_is_real(h));
    hak_leave(h);
    assert_ptr_equal(hak_enter(), h); // the same one from now on
    hak_leave(h);
    hak_enter_as_guest();
    hak_leave_as_guest();
    check_audit();
}

static void *heap_of_thread(void *argument)
{
    (void)argument;
    if (hak_heap_is_real(tls_heap()))
        return NULL; // no one has a heap before the first call
    hak_free(hak_malloc(1));
    return tls_heap();
}

// An ended thread's heap serves the next thread.
static void test_reuse(void **state)
{
    (void)state;
    void *first = in_thread(heap_of_thread, NULL);
    assert_non_null(first);
    uint32_t count = hak_heaps_count();
    for (int i = 0; i < 20; i++)
        assert_ptr_equal(in_thread(heap_of_thread, NULL), first);
    assert_int_equal(hak_heaps_count(), count);
    assert_int_equal(hak_heaps_idle(), count - 1);
}

static void *detach_twice(void *argument)
{
    (void)argument;
    hak_free(hak_malloc(100));
    hak_detach();
    bool gone = !hak_heap_is_real(tls_heap());
    hak_detach(); // nothing to give back
    char *p = hak_malloc(100);
    p[99] = 1;
    hak_free(p);
    return gone && hak_heap_is_real(tls_heap()) ? tls_heap() : NULL;
}

static void test_detach(void **state)
{
    (void)state;
    assert_non_null(in_thread(detach_twice, NULL));
    assert_int_equal(hak_heaps_idle(), hak_heaps_count() - 1);
    check_audit();
}

// ---- destructors that come after the exit hook ----

static pthread_key_t late_key;
static unsigned late_calls;

static void late_destructor(void *round)
{
    uintptr_t left = (uintptr_t)round;
    char *p = hak_malloc(left * 40), *q = hak_calloc(1, 100000);
    if (p != NULL && q != NULL)
        late_calls++;
    p = hak_realloc(p, 5000);
    hak_free(p);
    hak_free(q);
    if (left > 1) // again in the next round of destructors
        pthread_setspecific(late_key, (void *)(left - 1));
}

static void *end_late(void *argument)
{
    hak_free(hak_malloc(10));
    pthread_setspecific(late_key, argument);
    return NULL;
}

static void test_late(void **state)
{
    (void)state;
    in_thread(heap_of_thread, NULL); // the library's key exists before this one, and runs first
    assert_int_equal(pthread_key_create(&late_key, late_destructor), 0);
    in_thread(end_late, (void *)3);
    uint32_t count = hak_heaps_count();
    late_calls = 0;
    for (int i = 0; i < LATE_ROUNDS; i++)
        in_thread(end_late, (void *)3);
    assert_int_equal(late_calls, 3 * LATE_ROUNDS);
    assert_int_equal(hak_heaps_count(), count); // none was lost
    assert_int_equal(hak_heaps_idle(), count - 1);
    check_audit();
}

// ---- fork ----

// ThreadSanitizer would refuse the thread that the child starts. It calls this, by this name.
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "die_after_fork=0";
}

static unsigned stop;

static void *churn(void *argument)
{
    unsigned seed = (unsigned)(uintptr_t)argument;
    void *p[64] = { NULL };
    while (!flag_is_up(&stop)) {
        unsigned i = (unsigned)rand_r(&seed) % 64;
        hak_free(p[i]);
        p[i] = hak_malloc((size_t)rand_r(&seed) % 200000);
        if (i == 0)
            hak_thread_flush();
    }
    for (unsigned i = 0; i < 64; i++)
        hak_free(p[i]);
    return NULL;
}

// The child's one thread finds every structure consistent, all other heaps idle, and works on.
static void use_child(const void *argument)
{
    (void)argument;
    struct hak_audit_report report;
    alarm(patience(20)); // a lock that a vanished thread held would stop us here
    if (!hak_audit(&report)) {
        (void)!write(STDERR_FILENO, report.first_error, strlen(report.first_error));
        _exit(1);
    }
    CHILD_CHECK(hak_heaps_idle() == hak_heaps_count() - 1);
    for (size_t n = 1; n < 3000000; n = n * 3 / 2 + 1) {
        char *p = hak_malloc(n);
        CHILD_CHECK(p != NULL);
        memset(p, 1, n);
        hak_free(p);
    }
    if (!under_qemu()) // whose children cannot start threads
        CHILD_CHECK(in_thread(heap_of_thread, NULL) != NULL);
    hak_malloc_trim(0);
    CHILD_CHECK(hak_audit(&report));
}

static void test_fork(void **state)
{
    (void)state;
    pthread_t thread[THREADS];
    hak_free(hak_malloc(1));
    stop = 0;
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, churn, (void *)i), 0);
    for (int i = 0; i < FORKS; i++) {
        struct capture capture;
        run_in_child(&capture, use_child, NULL);
        if (capture.text[0] != 0)
            fail_msg("%s", capture.text);
        assert_exited(&capture, 0);
    }
    raise_flag(&stop);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    check_audit();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_enter_leave), cmocka_unit_test(test_reuse),
        cmocka_unit_test(test_detach),      cmocka_unit_test(test_late),
        cmocka_unit_test(test_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

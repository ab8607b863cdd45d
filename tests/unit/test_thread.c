// test_thread.c: the exit hook runs in the thread that ends, again when armed again; fork handlers
// run in their places; ids are unique among the living.
#define _GNU_SOURCE 1
#include "support.h"

#include <errno.h>
#include <pthread.h>

#include <seam/sanitizer.h>
#include <seam/thread.h>

static __thread unsigned rearm; // how often the hook shall arm itself again
static __thread unsigned hooks_here;
static unsigned hooks; // all threads; read after they have been joined
static unsigned prepares, parents, children;

static void on_exit_hook(void)
{
    __atomic_fetch_add(&hooks, 1, __ATOMIC_RELAXED);
    hooks_here++;
    if (rearm > 0) {
        rearm--;
        hak_thread_watch_exit();
    }
}

static void prepare(void)
{
    prepares++;
}

static void parent(void)
{
    parents++;
}

static void child(void)
{
    children++;
}

static int start(void **state)
{
    (void)state;
    hak_thread_start(on_exit_hook, prepare, parent, child);
    return 0;
}

static void *end(void *argument)
{
    (void)argument;
    return NULL;
}

static void *watch_and_end(void *argument)
{
    rearm = (unsigned)(uintptr_t)argument;
    errno = 77;
    hak_thread_watch_exit();
    hak_thread_watch_exit(); // again: still once
    return (void *)(uintptr_t)(errno == 77 && hooks_here == 0);
}

static unsigned hooks_of(void *(*body)(void *), uintptr_t argument)
{
    pthread_t thread;
    void *result = NULL;
    hooks = 0;
    assert_int_equal(pthread_create(&thread, NULL, body, (void *)argument), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    if (body == watch_and_end)
        assert_non_null(result);
    return hooks;
}

static void test_exit_hook(void **state)
{
    (void)state;
    assert_int_equal(hooks_of(end, 0), 0);
    assert_int_equal(hooks_of(watch_and_end, 0), 1);
    assert_int_equal(hooks_of(watch_and_end, 2), 3);
}

static void count_child(const void *argument)
{
    (void)argument;
    if (prepares != 1 || parents != 0 || children != 1)
        _exit(1);
    // The one thread of a child is watched like any other.
    pthread_t thread;
    hooks = 0;
    if (pthread_create(&thread, NULL, watch_and_end, NULL) != 0 || pthread_join(thread, NULL) != 0)
        _exit(2);
    _exit(hooks == 1 ? 0 : 3);
}

static void test_fork(void **state)
{
    (void)state;
    struct capture capture;
    prepares = parents = children = 0;
    run_in_child(&capture, count_child, NULL);
    assert_exited(&capture, 0);
    assert_int_equal(prepares, 1);
    assert_int_equal(parents, 1);
    assert_int_equal(children, 0);
}

static pthread_barrier_t barrier;

static void *get_id(void *argument)
{
    *(uint32_t *)argument = hak_thread_id();
    pthread_barrier_wait(&barrier); // all live at once
    hak_thread_yield();
    return NULL;
}

static void test_ids(void **state)
{
    (void)state;
    enum { THREADS = 8 };
    pthread_t thread[THREADS];
    uint32_t ids[THREADS + 1] = { hak_thread_id() };
    assert_int_equal(ids[0], getpid());
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, get_id, &ids[i + 1]), 0);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    for (unsigned i = 0; i <= THREADS; i++)
        for (unsigned j = 0; j < i; j++)
            assert_true(ids[i] != ids[j] && ids[i] != 0);
}

// ---- what the system refuses is said, and the program goes on ----

#if !defined(HAK_TSAN) // which itself calls these functions before it is ready for ours

static bool refuse;

int __real_pthread_key_create(pthread_key_t *key, void (*destructor)(void *));
int __wrap_pthread_key_create(pthread_key_t *key, void (*destructor)(void *));
int __real_pthread_atfork(void (*before)(void), void (*in_parent)(void), void (*in_child)(void));
int __wrap_pthread_atfork(void (*before)(void), void (*in_parent)(void), void (*in_child)(void));
int __real_pthread_setspecific(pthread_key_t key, const void *value);
int __wrap_pthread_setspecific(pthread_key_t key, const void *value);

int __wrap_pthread_key_create(pthread_key_t *key, void (*destructor)(void *))
{
    return refuse ? EAGAIN : __real_pthread_key_create(key, destructor);
}

int __wrap_pthread_atfork(void (*before)(void), void (*in_parent)(void), void (*in_child)(void))
{
    return refuse ? ENOMEM : __real_pthread_atfork(before, in_parent, in_child);
}

int __wrap_pthread_setspecific(pthread_key_t key, const void *value)
{
    return refuse ? ENOMEM : __real_pthread_setspecific(key, value);
}

static void watch_refused(const void *argument)
{
    (void)argument;
    refuse = true;
    errno = 78;
    hak_thread_watch_exit(); // the key of `start` is there
    hak_thread_start(on_exit_hook, prepare, parent, child);
    hak_thread_watch_exit(); // without a key nothing is to be said again
    _exit(errno == 78 ? 3 : 4);
}

static void test_refused(void **state)
{
    (void)state;
    struct capture capture;
    run_in_child(&capture, watch_refused, NULL);
    assert_true(WIFEXITED(capture.status) && WEXITSTATUS(capture.status) == 3);
    assert_string_equal(
        capture.text,
        "hakmem: no memory for a thread's exit hook: its cache stays when it ends\n"
        "hakmem: no thread-specific key left: ended threads keep their caches\n"
        "hakmem: fork handlers refused: fork is unsafe while other threads allocate\n");
}

#else

static void test_refused(void **state)
{
    (void)state;
    skip();
}

#endif

static void *see_alone(void *argument)
{
    *(bool *)argument = thread_is_alone();
    return NULL;
}

// A thread that exists is never overlooked, by itself or by who made it.
static void test_alone(void **state)
{
    (void)state;
    bool alone = true;
    pthread_t thread;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(pthread_create(&thread, NULL, see_alone, &alone), 0);
        assert_false(thread_is_alone());
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_false(alone);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alone), cmocka_unit_test(test_exit_hook), cmocka_unit_test(test_fork),
        cmocka_unit_test(test_ids),   cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}

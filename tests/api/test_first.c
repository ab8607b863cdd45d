// test_first.c: each function as the first call of a process, in a constructor, in atexit, and
// after main's thread has ended.
#include "api.h"

#include <pthread.h>

enum { CALLS = 21 };

// The call with the given number; ends the process if it does not do what it should.
static void call(unsigned which)
{
    void *p = NULL;
    struct hak_stats stats;
    struct hak_class_stats class_stats;
    struct hak_audit_report audit;
    switch (which) {
    case 0:
        CHILD_CHECK((p = hak_malloc(1)) != NULL);
        break;
    case 1:
        CHILD_CHECK((p = hak_malloc(0)) != NULL);
        break;
    case 2:
        CHILD_CHECK((p = hak_malloc(KIB(500))) != NULL);
        break;
    case 3:
        CHILD_CHECK((p = hak_malloc(MIB(8))) != NULL);
        break;
    case 4:
        CHILD_CHECK((p = hak_calloc(30, 30)) != NULL && is_zero(p, 900));
        break;
    case 5:
        CHILD_CHECK((p = hak_realloc(NULL, 77)) != NULL);
        break;
    case 6:
        CHILD_CHECK((p = hak_reallocarray(NULL, 7, 7)) != NULL);
        break;
    case 7:
        CHILD_CHECK((p = hak_aligned_alloc(MIB(4), 100)) != NULL);
        break;
    case 8:
        CHILD_CHECK((p = hak_memalign(64, 1)) != NULL);
        break;
    case 9:
        CHILD_CHECK(hak_posix_memalign(&p, 4096, 5) == 0 && is_aligned(p, 4096));
        break;
    case 10:
        CHILD_CHECK((p = hak_valloc(1)) != NULL);
        break;
    case 11:
        CHILD_CHECK((p = hak_pvalloc(1)) != NULL);
        break;
    case 12:
        hak_free(NULL);
        break;
    case 13:
        hak_free(opaque_pointer(&stats));
        break; // foreign
    case 14:
        CHILD_CHECK(hak_malloc_usable_size(NULL) == 0);
        break;
    case 15:
        hak_malloc_trim(0);
        break;
    case 16:
        hak_get_stats(&stats);
        CHILD_CHECK(stats.live_bytes < MIB(100));
        break;
    case 17:
        CHILD_CHECK(hak_get_class_stats(0, &class_stats));
        break;
    case 18:
        CHILD_CHECK(hak_audit(&audit));
        break;
    case 19:
        hak_thread_flush();
        break;
    case 20:
        CHILD_CHECK(strlen(hak_version()) > 5);
        break;
    }
    void *again = hak_malloc(100);
    CHILD_CHECK(again != NULL);
    hak_free(again);
    hak_free(p);
}

static unsigned current;

static void call_current(void)
{
    call(current);
}

static void first_call_of_a_process(void **state)
{
    (void)state;
    for (current = 0; current < CALLS; current++) {
        int status = run_child(call_current);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            fail_msg("call %u: status %#x", current, status);
    }
}

static void *thread_of_child(void *argument)
{
    call_current();
    return argument;
}

// The main thread never allocates, another one is the first.
static void in_a_thread(void)
{
    pthread_t thread;
    CHILD_CHECK(pthread_create(&thread, NULL, thread_of_child, NULL) == 0);
    CHILD_CHECK(pthread_join(thread, NULL) == 0);
}

static void first_call_in_a_thread(void **state)
{
    (void)state;
    for (current = 0; current < CALLS; current++)
        assert_exited_0(run_child(in_a_thread));
}

// ---- atexit, and destructors of the main thread ----

static void at_exit_first(void)
{
    atexit(call_current);
    exit(0);
}

static void first_call_in_atexit(void **state)
{
    (void)state;
    for (current = 0; current < CALLS; current++)
        assert_exited_0(run_child(at_exit_first));
}

static void all_calls(void)
{
    for (unsigned i = 0; i < CALLS; i++)
        call(i);
}

static void at_exit_again(void)
{
    all_calls();
    atexit(all_calls);
    exit(0);
}

static void calls_in_atexit_after_use(void **state)
{
    (void)state;
    assert_exited_0(run_child(at_exit_again));
}

static pthread_key_t key;

static void call_in_destructor(void *value)
{
    (void)value;
    call_current();
}

static void in_destructor(void)
{
    CHILD_CHECK(pthread_key_create(&key, call_in_destructor) == 0);
    pthread_setspecific(key, &key);
    atexit(all_calls);
    pthread_exit(NULL); // of the last thread: ends the process, with status 0
}

static void first_call_in_a_destructor_of_the_main_thread(void **state)
{
    (void)state;
    for (current = 0; current < CALLS; current++)
        assert_exited_0(run_child(in_destructor));
}

// ---- constructors ----

static bool in_constructor;

__attribute__((constructor)) static void constructor(void)
{
    const char *number = getenv("TEST_FIRST_CALL");
    if (number == NULL)
        return;
    call((unsigned)atoi(number));
    in_constructor = true;
}

static void first_call_in_a_constructor(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CALLS; i++) {
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) {
            char number[16];
            snprintf(number, sizeof number, "%u", i);
            setenv("TEST_FIRST_CALL", number, 1);
            execl("/proc/self/exe", "test_first", (char *)NULL);
            _exit(98);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_exited_0(status);
    }
}

int main(void)
{
    if (in_constructor) {
        all_calls();
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_call_of_a_process), // no test allocates in this process
        cmocka_unit_test(first_call_in_a_thread),
        cmocka_unit_test(first_call_in_atexit),
        cmocka_unit_test(calls_in_atexit_after_use),
        cmocka_unit_test(first_call_in_a_destructor_of_the_main_thread),
        cmocka_unit_test(first_call_in_a_constructor),
    };
    return cmocka_run_group_tests_name("api_first", tests, NULL, NULL);
}

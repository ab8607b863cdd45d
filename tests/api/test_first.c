// test_first.c: each function as the first call of a process, in a constructor, in atexit, and
// after main's thread has ended.
#include "api.h"

#include <pthread.h>

enum { CALLS = 21 };

// The allocating functions, by number; NULL for other numbers.
static void *allocate(unsigned which)
{
    void *p = NULL;
    switch (which) {
    case 0:
        return hak_malloc(1);
    case 1:
        return hak_malloc(0);
    case 2:
        return hak_malloc(KIB(500));
    case 3:
        return hak_malloc(MIB(8));
    case 4:
        p = hak_calloc(30, 30);
        CHILD_CHECK(p != NULL && is_zero(p, 900));
        return p;
    case 5:
        return hak_realloc(NULL, 77);
    case 6:
        return hak_reallocarray(NULL, 7, 7);
    case 7:
        return hak_aligned_alloc(MIB(4), 100);
    case 8:
        p = hak_memalign(64, 1);
        CHILD_CHECK(hak_malloc_usable_size(p) < KIB(1)); // a class serves it, not a run of units
        return p;
    case 9:
        CHILD_CHECK(hak_posix_memalign(&p, 4096, 5) == 0 && is_aligned(p, 4096));
        return p;
    case 10:
        return hak_valloc(1);
    case 11:
        return hak_pvalloc(1);
    default:
        return NULL;
    }
}

enum { ALLOCATING = 12 };

// The others.
static void ask(unsigned which)
{
    struct hak_stats stats;
    struct hak_class_stats class_stats;
    struct hak_audit_report audit;
    switch (which) {
    case 12:
        hak_free(NULL);
        break;
    case 13:
        hak_free(FOREIGN_FREES_COUNT ? opaque_pointer(&stats) : NULL);
        break;
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
    default:
        CHILD_CHECK(strlen(hak_version()) > 5);
    }
}

// Makes call number `which` and then lives on; ends the process if it does not do what it should.
static void call(unsigned which)
{
    void *p = NULL;
    if (which < ALLOCATING)
        CHILD_CHECK((p = allocate(which)) != NULL);
    else
        ask(which);
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
    if (SANITIZED) // their own threads outlive the last one
        skip();
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
            exec_self((char *[]){ NULL });
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

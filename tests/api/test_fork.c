// test_fork.c: fork out of a process whose threads are all inside of the allocator; vfork and
// posix_spawn; the child's and the grandchild's use of what they inherited.
#include "api.h"

#include <pthread.h>
#include <spawn.h>

enum { THREADS = 8, FORKS = UNDER_VALGRIND ? 8 : 40, SPAWNS = UNDER_VALGRIND ? 4 : 16, SLOTS = 64 };

static bool stop;
static void *shared_slots[SLOTS];

static void *be_busy(void *argument)
{
    uint64_t random = (uintptr_t)argument;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        size_t n = tier_sizes[next_random(&random) % COUNT_OF(tier_sizes)];
        if (n > KIB(64) && next_random(&random) % 8 != 0)
            n = 40;
        char *p = hak_malloc(n);
        if (p != NULL)
            p[0] = p[n - 1] = 1;
        void **slot = &shared_slots[next_random(&random) % SLOTS];
        hak_free(__atomic_exchange_n(slot, p, __ATOMIC_ACQ_REL));
        if (next_random(&random) % 4096 == 0)
            hak_malloc_trim(0);
    }
    return NULL;
}

static void use_all_tiers(unsigned seed)
{
    for (unsigned i = 0; i < COUNT_OF(tier_sizes); i++) {
        size_t n = tier_sizes[i];
        char *p = hak_malloc(n);
        CHILD_CHECK(p != NULL);
        size_t kept = n < 4096 ? n : 4096;
        pattern_fill(p, kept, seed);
        p = hak_realloc(p, n + n / 2);
        CHILD_CHECK(p != NULL);
        CHILD_CHECK(pattern_mismatch(p, kept, seed) == kept);
        hak_free(p);
    }
}

static void *thread_of_child(void *argument)
{
    use_all_tiers((unsigned)(uintptr_t)argument);
    return argument;
}

static void *inherited_block;

// What a child does at once: allocate, free the parent's blocks, start a thread, fork again.
static void live_as_child(unsigned number)
{
    use_all_tiers(number);
    CHILD_CHECK(pattern_mismatch(inherited_block, 3000, 77) == 3000);
    hak_free(inherited_block);
    for (unsigned i = 0; i < SLOTS; i++)
        hak_free(shared_slots[i]);
    // ThreadSanitizer and qemu cannot start threads after such a fork.
    if (number % 4 == 0 && !SANITIZED && !under_qemu()) {
        pthread_t thread;
        CHILD_CHECK(pthread_create(&thread, NULL, thread_of_child, (void *)(uintptr_t)number) == 0);
        CHILD_CHECK(pthread_join(thread, NULL) == 0);
    }
    if (number % 8 == 0) {
        pid_t grandchild = fork();
        if (grandchild == 0) {
            use_all_tiers(number + 1);
            _exit(0);
        }
        int status;
        CHILD_CHECK(waitpid(grandchild, &status, 0) == grandchild);
        CHILD_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    // One block per vanished thread may be missing, none may be in two places.
    struct hak_audit_report audit;
    if (number % 16 == 0) {
        hak_audit(&audit);
        if (audit.errors != 0) {
            dprintf(2, "audit in the child: %s\n", audit.first_error);
            _exit(97);
        }
    }
}

static void with_busy_threads(void (*f)(void))
{
    pthread_t threads[THREADS];
    __atomic_store_n(&stop, false, __ATOMIC_RELAXED);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, be_busy, (void *)(i + 1)), 0);
    f();
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < SLOTS; i++) {
        hak_free(shared_slots[i]);
        shared_slots[i] = NULL;
    }
}

static void fork_many(void)
{
    for (unsigned i = 0; i < FORKS; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(patience(60));
            live_as_child(i);
            _exit(0);
        }
        assert_true(child > 0);
        // The parent goes on meanwhile.
        use_all_tiers(i);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_exited_0(status);
    }
}

static void child_of_a_busy_parent_allocates_at_once(void **state)
{
    (void)state;
    if (under_qemu())
        skip(); // a fork while other threads map memory stops it, without any allocator too
    inherited_block = hak_malloc(3000);
    assert_non_null(inherited_block);
    pattern_fill(inherited_block, 3000, 77);
    with_busy_threads(fork_many);
    assert_int_equal(pattern_mismatch(inherited_block, 3000, 77), 3000);
    hak_free(inherited_block);
    struct hak_audit_report audit;
    if (!hak_audit(&audit))
        fail_msg("audit: %s", audit.first_error);
}

static char *const true_arguments[] = { (char[]){ "true" }, NULL };
static char *const no_environment[] = { NULL };

static pid_t spawn_true(void)
{
    pid_t child;
    int error = posix_spawn(&child, "/bin/true", NULL, NULL, true_arguments, no_environment);
    return error == 0 ? child : -1;
}

static pid_t vfork_true(void)
{
    pid_t child = vfork();
    if (child == 0) {
        execve("/bin/true", true_arguments, no_environment);
        _exit(98);
    }
    return child;
}

static void spawn_many(void)
{
    for (unsigned i = 0; i < SPAWNS; i++) {
        pid_t child = i % 2 == 0 ? spawn_true() : vfork_true();
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_exited_0(status);
        use_all_tiers(i);
    }
}

static void spawn_and_vfork_from_a_busy_parent(void **state)
{
    (void)state;
    with_busy_threads(spawn_many);
}

// The first call of all is made after the fork, in both processes.
static void fork_before_the_first_call(void)
{
    pid_t child = fork();
    use_all_tiers(1);
    if (child == 0)
        _exit(0);
    int status;
    CHILD_CHECK(waitpid(child, &status, 0) == child);
    CHILD_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void before_the_first_call(void **state)
{
    (void)state;
    assert_exited_0(run_child(fork_before_the_first_call));
}

static void *fork_in_thread(void *argument)
{
    hak_free(hak_malloc(100));
    pid_t child = fork();
    if (child == 0) {
        use_all_tiers(2);
        // The main thread's heap has nobody now; this thread's end gives its own back, and ends the
        // process unless a sanitizer has a thread of its own.
        if (SANITIZED)
            _exit(0);
        pthread_exit(NULL);
    }
    *(pid_t *)argument = child;
    return NULL;
}

// The thread that forks is not the main one, and in the child it is the one that is left.
static void from_another_thread(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ROUNDS_HERE(20); i++) {
        pthread_t thread;
        pid_t child = -1;
        assert_int_equal(pthread_create(&thread, NULL, fork_in_thread, &child), 0);
        pthread_join(thread, NULL);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_exited_0(status);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_the_first_call), // must be the first
        cmocka_unit_test(from_another_thread),
        cmocka_unit_test(child_of_a_busy_parent_allocates_at_once),
        cmocka_unit_test(spawn_and_vfork_from_a_busy_parent),
    };
    return cmocka_run_group_tests_name("api_fork", tests, NULL, NULL);
}

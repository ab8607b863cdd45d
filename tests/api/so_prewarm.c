// so_prewarm.c: the option prewarm through the shared library: blocks are ready before main and in
// new threads, and a process whose memory is limited starts all the same.
#include "api.h"

#include <pthread.h>

enum { BLOCKS = 60, BYTES = 1000, STOCK = 2 };

static uint64_t misses(void)
{
    struct hak_stats stats;
    hak_get_stats(&stats);
    return stats.flow.malloc_misses;
}

static uint64_t faults(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_minflt : 0;
}

// Whether the page of *p is there, for all that can be asked.
static bool is_resident(const char *p)
{
    if (under_qemu())
        return true; // it does not know
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    unsigned char there = 0;
    return mincore((void *)((uintptr_t)p & -page), 1, &there) == 0 && (there & 1) != 0;
}

// Takes the blocks and writes to all of each. 0: without a slow path, to pages that are there, and
// without a page fault (those of Valgrind and qemu are the process's, too).
static int use(void)
{
    static __thread void *blocks[BLOCKS];
    memset(blocks, 0, sizeof blocks);
    faults(); // what these calls need themselves is there from now on
    uint64_t misses_before = misses(), faults_before = faults();
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(BYTES);
        if (blocks[i] == NULL)
            return 1;
        if (!is_resident(blocks[i]) || !is_resident((char *)blocks[i] + BYTES - 1))
            return 7;
        memset(blocks[i], i, BYTES);
    }
    uint64_t faulted = faults() - faults_before;
    if (misses() != misses_before)
        return 2;
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    return faulted != 0 && !UNDER_VALGRIND && !under_qemu() ? 3 : 0;
}

static void *use_in_thread(void *result)
{
    free(opaque_pointer(malloc(1))); // a thread is attached by its first call
    *(int *)result = use();
    return NULL;
}

static int in_thread(void)
{
    pthread_t thread;
    int result = 4;
    if (pthread_create(&thread, NULL, use_in_thread, &result) != 0)
        return 5;
    pthread_join(thread, NULL);
    return result;
}

// What the child is asked for by its first argument.
static int child(const char *what)
{
    if (strcmp(what, "main") == 0)
        return use();
    if (strcmp(what, "thread") == 0) // more than the stock, one after the other
        for (int i = 0, result; i < 3 * STOCK; i++)
            if ((result = in_thread()) != 0)
                return result;
    if (strcmp(what, "limit") == 0) { // and the allocator still works
        void *p = malloc(BYTES);
        if (p != NULL)
            memset(p, 1, BYTES);
        free(p);
        struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };
        struct hak_audit_report report;
        return setrlimit(RLIMIT_DATA, &none) == 0 && hak_audit(&report) ? 0 : 6;
    }
    return 0;
}

static int run(const char *prewarm, const char *what, rlim_t data_max)
{
    char options[200];
    // qemu walks over each page of the reservation.
    snprintf(options, sizeof options, "%s%s", prewarm, under_qemu() ? ",arena_mib=1024" : "");
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct rlimit limit = { data_max, RLIM_INFINITY };
        setenv("HAKMEM_OPTIONS", options, 1);
        if (data_max != RLIM_INFINITY && setrlimit(RLIMIT_DATA, &limit) != 0)
            _exit(99);
        char *const arguments[] = { (char *)what, NULL };
        exec_self(arguments);
        _exit(98);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_before_main(void **state)
{
    (void)state;
    assert_int_equal(run("prewarm=1000:100", "main", RLIM_INFINITY), 0);
    assert_int_not_equal(run("purge_delay_ms=100", "main", RLIM_INFINITY), 0);
}

static void test_in_threads(void **state)
{
    (void)state;
    assert_int_equal(run("prewarm=1000:100,prewarm_threads=2", "thread", RLIM_INFINITY), 0);
    assert_int_not_equal(run("prewarm=1000:100", "thread", RLIM_INFINITY), 0);
}

// From a limit that leaves nothing to one that leaves all.
static void test_limited(void **state)
{
    (void)state;
    if (under_a_tool())
        skip();
    for (rlim_t mib = 2; mib <= 64; mib += mib < 16 ? 1 : 16)
        assert_int_equal(
            run("prewarm=64:1000+4000:31+200000:1,prewarm_threads=64", "limit", mib << 20), 0);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return child(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_before_main),
        cmocka_unit_test(test_in_threads),
        cmocka_unit_test(test_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

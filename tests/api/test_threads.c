// test_threads.c: attaching by any call, threads that come and go, frees across threads, and
// destructors of thread-specific data that still allocate, in every order of keys.
#include "api.h"

#include <pthread.h>

static void spawn(pthread_t *thread, void *(*f)(void *), void *argument)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, KIB(64));
    int error = pthread_create(thread, &attributes, f, argument);
    pthread_attr_destroy(&attributes);
    if (error != 0)
        fail_msg("pthread_create: %s", strerror(error));
}

static void *run_thread(void *(*f)(void *), void *argument)
{
    pthread_t thread;
    void *result;
    spawn(&thread, f, argument);
    assert_int_equal(pthread_join(thread, &result), 0);
    return result;
}

// ---- the first call of a thread ----

struct first_call {
    unsigned which;
    void *block; // made by the main thread
    bool good;
};

enum { FIRST_CALLS = 12 };

static void *first_call(void *argument)
{
    struct first_call *c = argument;
    void *p = c->block;
    switch (c->which) {
    case 0:
        hak_free(p);
        p = NULL;
        break;
    case 1:
        p = hak_realloc(p, 300);
        break;
    case 2:
        hak_free(p);
        p = hak_malloc(10);
        break;
    case 3:
        p = hak_realloc(p, 0);
        break;
    case 4:
        hak_free(p);
        p = hak_calloc(3, 50);
        break;
    case 5:
        hak_free(p);
        p = hak_memalign(256, 70);
        break;
    case 6:
        c->good = hak_malloc_usable_size(p) >= 100;
        break;
    case 7:
        hak_malloc_trim(0);
        break;
    case 8:
        hak_thread_flush();
        break;
    case 9:
        hak_free_sized(p, 100);
        p = NULL;
        break;
    case 10: {
        struct hak_stats stats;
        hak_get_stats(&stats);
        break;
    }
    case 11:
        p = hak_realloc(p, MIB(3));
        break;
    }
    c->good = c->good && (c->which == 0 || c->which == 3 || c->which == 9 || p != NULL);
    hak_free(p);
    void *again = hak_malloc(1000);
    c->good = c->good && again != NULL;
    hak_free(again);
    return NULL;
}

static void any_function_may_be_a_threads_first(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 20; round++)
        for (unsigned i = 0; i < FIRST_CALLS; i++) {
            struct first_call c = { .which = i, .block = hak_malloc(100), .good = true };
            assert_non_null(c.block);
            run_thread(first_call, &c);
            if (!c.good)
                fail_msg("call %u as the first of a thread failed", i);
        }
}

// ---- lives ----

static void *short_life(void *argument)
{
    void *blocks[4];
    for (unsigned i = 0; i < COUNT_OF(blocks); i++)
        blocks[i] = hak_malloc(24 + 100 * i);
    for (unsigned i = 1; i < COUNT_OF(blocks); i++)
        hak_free(blocks[i]);
    hak_free(argument);
    return blocks[0]; // freed by the main thread
}

static void live_and_die(unsigned threads)
{
    enum { AT_A_TIME = 4 };
    for (unsigned i = 0; i < threads; i += AT_A_TIME) {
        pthread_t batch[AT_A_TIME];
        for (unsigned j = 0; j < AT_A_TIME; j++)
            spawn(&batch[j], short_life, hak_malloc(64 + i % 512));
        for (unsigned j = 0; j < AT_A_TIME; j++) {
            void *left;
            pthread_join(batch[j], &left);
            assert_non_null(left);
            hak_free(left);
        }
    }
}

static void a_hundred_thousand_threads_without_growth(void **state)
{
    (void)state;
    struct hak_stats before, after;
    live_and_die(2000);
    size_t resident_before = resident_bytes();
    hak_get_stats(&before);
    live_and_die(SANITIZED || under_a_tool() ? 8000 : 98000);
    size_t resident_after = resident_bytes();
    hak_get_stats(&after);
    if (is_measurable() && resident_after > resident_before + KIB(1024))
        fail_msg("resident grew from %zu to %zu", resident_before, resident_after);
    if (after.heaps > before.heaps + 4)
        fail_msg("heaps grew from %u to %u", (unsigned)before.heaps, (unsigned)after.heaps);
    if (after.committed_bytes > before.committed_bytes + KIB(1024))
        fail_msg("committed grew from %zu to %zu", (size_t)before.committed_bytes,
                 (size_t)after.committed_bytes);
}

// ---- frees across threads ----

enum { CROSS_THREADS = 4, CROSS_SLOTS = 256, CROSS_STEPS = 60000 };
static void *cross_slots[CROSS_SLOTS];

// Blocks begin with their size; the rest of the first 256 bytes is a pattern.
static void *make_marked(size_t n, unsigned seed)
{
    size_t *p = hak_malloc(n);
    if (p == NULL)
        return NULL;
    p[0] = n;
    p[1] = seed;
    pattern_fill(p + 2, (n < 256 ? n : 256) - 16, seed);
    return p;
}

static bool check_marked(const size_t *p)
{
    size_t n = (p[0] < 256 ? p[0] : 256) - 16;
    return pattern_mismatch(p + 2, n, (unsigned)p[1]) == n;
}

static void *exchange_blocks(void *argument)
{
    uint64_t random = (uintptr_t)argument;
    for (unsigned i = 0; i < CROSS_STEPS; i++) {
        size_t n = tier_sizes[next_random(&random) % 14];
        if (next_random(&random) % 512 == 0)
            n = tier_sizes[next_random(&random) % COUNT_OF(tier_sizes)];
        void *fresh = make_marked(n < 16 ? 16 : n, i & 0xffff);
        if (fresh == NULL)
            return (void *)"malloc failed";
        void **slot = &cross_slots[next_random(&random) % CROSS_SLOTS];
        void *old = __atomic_exchange_n(slot, fresh, __ATOMIC_ACQ_REL);
        if (old != NULL && !check_marked(old))
            return (void *)"a block changed between threads";
        hak_free(old);
    }
    return NULL;
}

static void blocks_cross_threads(void **state)
{
    (void)state;
    pthread_t threads[CROSS_THREADS];
    for (uintptr_t i = 0; i < CROSS_THREADS; i++)
        spawn(&threads[i], exchange_blocks, (void *)(i + 1));
    for (unsigned i = 0; i < CROSS_THREADS; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        if (wrong != NULL)
            fail_msg("%s", (char *)wrong);
    }
    for (unsigned i = 0; i < CROSS_SLOTS; i++) {
        hak_free(cross_slots[i]);
        cross_slots[i] = NULL;
    }
    struct hak_audit_report audit;
    if (!hak_audit(&audit))
        fail_msg("audit: %s", audit.first_error);
}

// One thread only allocates, another only frees: memory comes back to the first.
enum { PIPE_SLOTS = 64 };
static void *pipe_slots[PIPE_SLOTS];
static unsigned pipe_blocks;

static void *only_free(void *argument)
{
    (void)argument;
    for (unsigned i = 0; i < pipe_blocks; i++) {
        void **slot = &pipe_slots[i % PIPE_SLOTS], *p;
        while ((p = __atomic_exchange_n(slot, NULL, __ATOMIC_ACQUIRE)) == NULL)
            sched_yield();
        hak_free(p);
    }
    return NULL;
}

static void only_allocate(size_t n)
{
    for (unsigned i = 0; i < pipe_blocks; i++) {
        void *p = hak_malloc(n);
        assert_non_null(p);
        memset(p, 1, n < 64 ? n : 64);
        while (__atomic_load_n(&pipe_slots[i % PIPE_SLOTS], __ATOMIC_ACQUIRE) != NULL)
            sched_yield();
        __atomic_store_n(&pipe_slots[i % PIPE_SLOTS], p, __ATOMIC_RELEASE);
    }
}

static void a_consumer_that_only_frees(void **state)
{
    (void)state;
    const size_t sizes[] = { 16, 100, 2000, KIB(20), KIB(300) };
    for (unsigned i = 0; i < COUNT_OF(sizes); i++) {
        pipe_blocks = sizes[i] < KIB(16) ? 60000 : 5000;
        size_t before = resident_bytes();
        pthread_t thread;
        spawn(&thread, only_free, NULL);
        only_allocate(sizes[i]);
        pthread_join(thread, NULL);
        size_t after = resident_bytes();
        if (is_measurable() && after > before + MIB(16))
            fail_msg("%zu bytes: resident grew from %zu to %zu", sizes[i], before, after);
    }
}

// The owner has ended when its blocks are freed.
static void *make_blocks(void *argument)
{
    void **blocks = argument;
    for (unsigned i = 0; i < 500; i++)
        blocks[i] = make_marked(16 + i * 11, i);
    return NULL;
}

static void blocks_outlive_their_thread(void **state)
{
    (void)state;
    static void *blocks[500];
    for (unsigned round = 0; round < 20; round++) {
        run_thread(make_blocks, blocks);
        for (unsigned i = 0; i < COUNT_OF(blocks); i++) {
            assert_non_null(blocks[i]);
            assert_true(check_marked(blocks[i]));
            hak_free(blocks[i]);
        }
    }
    struct hak_audit_report audit;
    if (!hak_audit(&audit))
        fail_msg("audit: %s", audit.first_error);
    assert_int_equal(audit.errors, 0);
}

// ---- late destructors ----

enum { KEYS = 6 };
static pthread_key_t keys[KEYS];

// Sanitizers end their part of a thread in the last round.
enum { ROUNDS = SANITIZED ? 2 : PTHREAD_DESTRUCTOR_ITERATIONS };
static unsigned destructor_calls;

// Frees the thread's value, allocates, and asks to be called again, as long as the system does.
static void late_destructor(void *value)
{
    __atomic_fetch_add(&destructor_calls, 1, __ATOMIC_RELAXED);
    unsigned char *p = value;
    unsigned key = p[0], rounds = p[1];
    hak_free(p);
    void *q = hak_malloc(200 + key * 700);
    q = hak_realloc(q, 5000);
    CHILD_CHECK(q != NULL);
    hak_free(q);
    if (rounds == 0)
        return;
    p = hak_malloc(2);
    CHILD_CHECK(p != NULL);
    p[0] = (unsigned char)key;
    p[1] = (unsigned char)(rounds - 1);
    pthread_setspecific(keys[key], p);
}

static void *with_destructors(void *argument)
{
    unsigned first = *(unsigned *)argument;
    for (unsigned i = 0; i < KEYS; i++) {
        unsigned key = (first + i) % KEYS;
        unsigned char *p = hak_malloc(2);
        p[0] = (unsigned char)key;
        p[1] = (unsigned char)(ROUNDS - 1 - key % 2);
        pthread_setspecific(keys[key], p);
    }
    return NULL;
}

static void *empty_thread(void *argument)
{
    return argument;
}

// In a fresh process: keys made before the allocator's first call lie before its own hook, the
// others after it.
static void keys_around_the_first_call(unsigned before)
{
    for (unsigned i = 0; i < before; i++)
        CHILD_CHECK(pthread_key_create(&keys[i], late_destructor) == 0);
    hak_free(hak_malloc(1));
    for (unsigned i = before; i < KEYS; i++)
        CHILD_CHECK(pthread_key_create(&keys[i], late_destructor) == 0);
    struct hak_stats stats;
    uint64_t heaps = 0;
    for (unsigned i = 0; i < 200; i++) {
        pthread_t thread;
        unsigned first = i % KEYS;
        CHILD_CHECK(pthread_create(&thread, NULL, with_destructors, &first) == 0);
        pthread_join(thread, NULL);
        hak_get_stats(&stats);
        if (i == 20)
            heaps = stats.heaps;
    }
    CHILD_CHECK(destructor_calls >= 200 * KEYS);
    // A thread that attached again gave its heap back again.
    CHILD_CHECK(stats.heaps <= heaps + 2);
    CHILD_CHECK(stats.heaps - stats.heaps_idle <= 2);
    struct hak_audit_report audit;
    CHILD_CHECK(hak_audit(&audit));
    CHILD_CHECK(audit.live == 0);
    pthread_t thread;
    CHILD_CHECK(pthread_create(&thread, NULL, empty_thread, NULL) == 0);
    pthread_join(thread, NULL);
}

static void destructors_in_any_order_of_keys(void **state)
{
    (void)state;
    for (unsigned before = 0; before <= KEYS; before += 2) {
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) {
            char number[16];
            snprintf(number, sizeof number, "%u", before);
            exec_self((char *[]){ (char *)"--keys", number, NULL });
            _exit(98);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_exited_0(status);
    }
}

// ---- ends of other kinds ----

static void *detached_life(void *argument)
{
    hak_free(hak_malloc(333));
    __atomic_fetch_add((unsigned *)argument, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void *wait_for_cancel(void *argument)
{
    void **block = argument;
    __atomic_store_n(block, hak_malloc(50), __ATOMIC_RELEASE);
    // Not in a blocking call: a thread sanitizer loses track of what is cancelled there.
    for (;;) {
        sched_yield();
        pthread_testcancel();
    }
    return NULL;
}

static void detached_and_cancelled(void **state)
{
    (void)state;
    static unsigned ended;
    for (unsigned i = 0; i < 100; i++) {
        pthread_t thread;
        spawn(&thread, detached_life, &ended);
        pthread_detach(thread);
        void *block = NULL;
        spawn(&thread, wait_for_cancel, &block);
        while (__atomic_load_n(&block, __ATOMIC_ACQUIRE) == NULL)
            sched_yield();
        pthread_cancel(thread);
        void *result;
        pthread_join(thread, &result);
        assert_ptr_equal(result, PTHREAD_CANCELED);
        hak_free(block);
    }
    while (__atomic_load_n(&ended, __ATOMIC_ACQUIRE) != 100)
        sched_yield();
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--keys") == 0) {
        alarm(patience(60));
        keys_around_the_first_call((unsigned)atoi(argv[2]));
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_function_may_be_a_threads_first),
        cmocka_unit_test(blocks_cross_threads),
        cmocka_unit_test(a_consumer_that_only_frees),
        cmocka_unit_test(blocks_outlive_their_thread),
        cmocka_unit_test(destructors_in_any_order_of_keys),
        cmocka_unit_test(detached_and_cancelled),
        cmocka_unit_test(a_hundred_thousand_threads_without_growth),
    };
    return cmocka_run_group_tests_name("api_threads", tests, NULL, NULL);
}

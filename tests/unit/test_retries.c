// test_retries.c: what is counted of contention: which loop a site counts for, and each lock when a
// second thread meets it. That every retry of a loop is counted is shown by tests/model/counting.c.
#define _GNU_SOURCE 1
#include "metrics.h"

#include <pthread.h>

// Before the seam, which forbids the raw names from its include on.
static uint32_t peek(const uint32_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

#include <seam/lock.h>

#include "attach.h"
#include "heaps.h"
#include "mapped.h"
#include "meta.h"
#include "retries.h"
#include "sampled.h"

// ---- retry loops ----

static uint64_t retries_of(const char *name)
{
    struct hak_retry_stats s;
    for (unsigned i = 0; hak_get_retry_stats(i, &s); i++)
        if (strcmp(s.name, name) == 0)
            return s.retries;
    fail_msg("no loop is called %s", name);
    return 0;
}

// Which loop a site counts for.
static void test_retries(void **state)
{
    static const struct {
        enum site site;
        const char *name;
    } loops[] = {
        { SITE_CLAIM_SPIN, "claim_units" },    { SITE_CLAIM_AT_SPIN, "claim_given_units" },
        { SITE_INBOX_SPIN, "inbox_push" },     { SITE_COMMITTED_PEAK_SPIN, "committed_peak" },
        { SITE_FOREIGN_SPIN, "foreign_site" },
    };
    (void)state;
    struct hak_retry_stats s;
    for (unsigned i = 0; i < sizeof loops / sizeof loops[0]; i++) {
        uint64_t before = retries_of(loops[i].name), all = 0, all_after = 0;
        for (unsigned j = 0; hak_get_retry_stats(j, &s); j++)
            all += s.retries;
        hak_count_retry(loops[i].site);
        for (unsigned j = 0; hak_get_retry_stats(j, &s); j++)
            all_after += s.retries;
        assert_int_equal(retries_of(loops[i].name), before + 1);
        assert_int_equal(all_after, all + 1);
    }
    assert_false(hak_get_retry_stats(sizeof loops / sizeof loops[0], &s));
}

// ---- locks ----

static void take_heap(void)
{
    struct heap *h = hak_heaps_borrow();
    CHILD_CHECK(h != NULL);
}

static void take_superslab(void)
{
    uint32_t unit;
    CHILD_CHECK(hak_superslab_begin(1, 1, UINT32_MAX, &unit));
}

static void take_mapping(void)
{
    CHILD_CHECK(hak_mapped_alloc(LARGE_SIZE_MAX, 1) != NULL);
}

static void take_sampled(void)
{
    CHILD_CHECK(hak_sampled_alloc(16, 16) != NULL);
}

static void take_metadata(void)
{
    CHILD_CHECK(hak_meta_alloc(64) != NULL);
}

static void *waiter(void *argument)
{
    void (*const *take_it)(void) = argument;
    (*take_it)();
    return NULL;
}

static struct hak_lock_stats lock_stats(const char *name)
{
    struct hak_lock_stats s;
    for (unsigned i = 0; hak_get_lock_stats(i, &s); i++)
        if (strcmp(s.name, name) == 0)
            return s;
    CHILD_CHECK(!"there is no such lock");
    return s;
}

static uint64_t contended_sum(void)
{
    struct hak_lock_stats s;
    uint64_t sum = 0;
    for (unsigned i = 0; hak_get_lock_stats(i, &s); i++)
        sum += s.contended;
    return sum;
}

// A thread meets the held lock and waits in the kernel: `state` says that the lock knows of it.
static void meet(const char *name, const struct lock *l, void (*take_it)(void))
{
    struct lock *lock = (struct lock *)(uintptr_t)l;
    struct hak_lock_stats before = lock_stats(name);
    uint64_t sum = contended_sum();
    pthread_t thread;
    take_it(); // without contention
    CHILD_CHECK(contended_sum() == sum);
    lock_acquire(lock);
    CHILD_CHECK(pthread_create(&thread, NULL, waiter, &take_it) == 0);
    while (peek(&lock->state.raw) != 2)
        usleep(1000);
    lock_release(lock);
    CHILD_CHECK(pthread_join(thread, NULL) == 0);
    CHILD_CHECK(lock_stats(name).contended == before.contended + 1);
    CHILD_CHECK(lock_stats(name).slept == before.slept + 1);
    CHILD_CHECK(contended_sum() == sum + 1);
}

static void locks(const void *argument)
{
    (void)argument;
    start("sample=1000000");
    meet("heaps", hak_heaps_lock(), take_heap);
    meet("arena", hak_superslabs_lock(), take_superslab);
    meet("mapped", hak_mapped_lock(), take_mapping);
    meet("sampled", hak_sampled_lock(), take_sampled);
    meet("metadata", hak_meta_lock(), take_metadata);
}

static void start_thread(void)
{
    hak_free(hak_malloc(1));
}

// The first calls of a process meet at its start.
static void start_lock(const void *argument)
{
    (void)argument;
    pthread_t thread;
    void (*first_call)(void) = start_thread;
    struct lock *lock = (struct lock *)(uintptr_t)hak_attach_lock();
    lock_acquire(lock);
    CHILD_CHECK(pthread_create(&thread, NULL, waiter, &first_call) == 0);
    while (peek(&lock->state.raw) != 2)
        usleep(1000);
    lock_release(lock);
    CHILD_CHECK(pthread_join(thread, NULL) == 0);
    CHILD_CHECK(lock_stats("start").contended == 1 && contended_sum() == 1);
}

IN_CHILD(locks)
IN_CHILD(start_lock)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_retries),
        cmocka_unit_test(test_locks),
        cmocka_unit_test(test_start_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

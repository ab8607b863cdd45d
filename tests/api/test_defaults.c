// test_defaults.c: without any option the allocator is at its best.
//
// Two of the bugs of hakmem's past are none of logic: a main feature that was off unless a variable
// named it, and a working set that ran out of a pool and took a slow path on every request. So here
// each main feature must be seen at work, and counters say how often the slow paths run.
#include "api.h"

#include <time.h>

#include "config.h"

static struct hak_stats stats_now(void)
{
    struct hak_stats s;
    hak_get_stats(&s);
    return s;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void frees_are_cached_and_served_again(void **state)
{
    (void)state;
    enum { BLOCKS = MAGAZINE_BLOCKS_MAX < 512 ? MAGAZINE_BLOCKS_MAX : 512 };
    static void *blocks[BLOCKS];
    for (unsigned round = 0; round < 8; round++) { // magazines grow with their use
        for (unsigned i = 0; i < BLOCKS; i++)
            assert_non_null(blocks[i] = hak_malloc(64));
        for (unsigned i = 0; i < BLOCKS; i++)
            hak_free(blocks[i]);
    }
    struct hak_stats before = stats_now();
    assert_true(before.cached_bytes >= BLOCKS / 2 * 64);
    for (unsigned i = 0; i < BLOCKS; i++)
        assert_non_null(blocks[i] = hak_malloc(64));
    for (unsigned i = 0; i < BLOCKS; i++)
        hak_free(blocks[i]);
    struct hak_stats after = stats_now();
    if (HAK_MITIGATIONS != 0)
        return; // there a freed block waits before it is served again
    assert_true(after.flow.malloc_misses - before.flow.malloc_misses <= 2);
    assert_true(after.flushes - before.flushes <= 2);
}

static void free_memory_goes_back(void **state)
{
    (void)state;
    enum { BLOCKS = 64 };
    static void *blocks[BLOCKS];
    struct timespec pause = { .tv_nsec = 300000000 };
    for (unsigned i = 0; i < BLOCKS; i++) {
        assert_non_null(blocks[i] = hak_malloc(CLASS_SIZE_MAX));
        memset(blocks[i], 1, CLASS_SIZE_MAX);
    }
    uint64_t peak = stats_now().committed_bytes;
    for (unsigned i = 0; i < BLOCKS; i++)
        hak_free(blocks[i]);
    // Slow paths of any thread give back what was not used for the delay.
    for (unsigned i = 0; i < 10 && stats_now().committed_bytes > peak / 2; i++) {
        nanosleep(&pause, NULL);
        hak_free(hak_malloc(LARGE_SIZE_MAX));
    }
    assert_true(stats_now().committed_bytes <= peak / 2);
    assert_true(stats_now().purges > 0);
}

// With each delay that passes, on a busy machine or under a tool, a heap may flush half of what a
// class has cached and not missed since; two slow paths bring that back.
static uint64_t slow_for_trims(uint64_t begun_ns)
{
    enum { DELAY_NS = 100000000, BYTES_MAX = 1280 }; // the option's default; of the classes below
    struct hak_class_stats class_stats;
    uint64_t classes = 0;
    for (unsigned i = 0; hak_get_class_stats(i, &class_stats); i++)
        classes += class_stats.block_bytes <= BYTES_MAX;
    return (now_ns() - begun_ns) / DELAY_NS * classes * 3;
}

// How often slow paths ran while `operations` blocks of random sizes replaced others among `slots`.
static void expect_few_slow_paths(unsigned slots, unsigned operations)
{
    enum { SLOTS_MAX = 8192 };
    static void *blocks[SLOTS_MAX];
    uint64_t random = 88172645463325252u, begun_ns = 0;
    struct hak_stats before = stats_now();
    for (unsigned i = 0; i < 2 * operations; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        unsigned slot = (unsigned)(random >> 20) % slots;
        hak_free(blocks[slot]);
        assert_non_null(blocks[slot] = hak_malloc(16 + (unsigned)(random >> 40) % 1025));
        if (i == operations) { // the first half fills slots and caches
            before = stats_now();
            begun_ns = now_ns();
        }
    }
    uint64_t slow_expected = operations / 1000 + slow_for_trims(begun_ns);
    struct hak_stats after = stats_now();
    for (unsigned i = 0; i < slots; i++) {
        hak_free(blocks[i]);
        blocks[i] = NULL;
    }
    // What is live varies a little; a pool that does not find what it has begins hundreds.
    assert_true(after.flow.from_new - before.flow.from_new <= 8);
    assert_int_equal(after.os_failures, before.os_failures);
    uint64_t slow = after.flow.malloc_misses - before.flow.malloc_misses + after.flushes -
                    before.flushes;
    print_message("%u slots: %llu refills and flushes in %u operations\n", slots,
                  (unsigned long long)slow, operations);
    if (!GEOMETRY_SMALL && HAK_MITIGATIONS == 0) // magazines of the small one hold three blocks
        assert_true(slow <= slow_expected);
}

static void no_working_set_falls_through(void **state)
{
    (void)state;
    expect_few_slow_paths(256, 200000);
    expect_few_slow_paths(4096, 200000);
    expect_few_slow_paths(8192, 200000);
}

static void peaks_are_served_from_what_the_last_one_left(void **state)
{
    (void)state;
    enum { BYTES = 512, BLOCKS = GEOMETRY_SMALL ? 4000 : 40000 };
    static void *blocks[BLOCKS];
    struct hak_stats first = { 0 };
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = 0; i < BLOCKS; i++)
            assert_non_null(blocks[i] = hak_malloc(BYTES));
        for (unsigned i = 0; i < BLOCKS; i++)
            hak_free(blocks[i]);
        if (round == 0)
            first = stats_now();
    }
    struct hak_stats last = stats_now();
    assert_true(last.slabs_released - first.slabs_released >= BLOCKS * BYTES / UNIT_SIZE / 16);
    assert_true(last.flow.from_new - first.flow.from_new <= 8); // as above
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frees_are_cached_and_served_again),
        cmocka_unit_test(free_memory_goes_back),
        cmocka_unit_test(no_working_set_falls_through),
        cmocka_unit_test(peaks_are_served_from_what_the_last_one_left),
    };
    if (getenv("HAKMEM_OPTIONS") != NULL) {
        print_error("test_defaults: HAKMEM_OPTIONS is set\n");
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}

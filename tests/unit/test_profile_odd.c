// test_profile_odd.c: a start that the system refuses, tables without room, stacks that look alike.
#define _GNU_SOURCE 1
#include "support.h"

#include <math.h>
#include <stdlib.h>

#include "hakmem.h"
#include "options.h"
#include "profile.h"
#include <seam/thread.h>

enum { BYTES = 1000000 }; // always one sample, which stands for one block

// ---- a system that refuses ----

static bool refuse_reserve, refuse_entropy;
static unsigned refused;

void *__real_hak_os_reserve(size_t bytes, size_t align);
void *__wrap_hak_os_reserve(size_t bytes, size_t align);
bool __real_hak_os_entropy(void *out, size_t bytes);
bool __wrap_hak_os_entropy(void *out, size_t bytes);

void *__wrap_hak_os_reserve(size_t bytes, size_t align)
{
    refused += refuse_reserve;
    return refuse_reserve ? NULL : __real_hak_os_reserve(bytes, align);
}

bool __wrap_hak_os_entropy(void *out, size_t bytes)
{
    refused += refuse_entropy;
    return !refuse_entropy && __real_hak_os_entropy(out, bytes);
}

// ---- start ----

// Without memory for its tables the profile is off; without random bytes the time serves. Before
// the process has started.
static void start_without_memory(const void *unused)
{
    (void)unused;
    hak_options.profile = 4096;
    refuse_reserve = true;
    hak_profile_start();
    CHILD_CHECK(refused == 1 && hak_profile_interval() == 0);
    _exit(3);
}

static void start_without_entropy(const void *unused)
{
    uint64_t random[2];
    (void)unused;
    hak_options.profile = 4096;
    refuse_entropy = true;
    hak_profile_start();
    CHILD_CHECK(refused == 1 && hak_profile_interval() == 4096);
    for (unsigned i = 0; i < 2; i++) {
        CHILD_CHECK(hak_profile_begin(&random[i]) >= 0);
        hak_profile_start();
    }
    CHILD_CHECK(random[0] != random[1]);
    void *frame = random;
    CHILD_CHECK(hak_profile_add(random, 100, &frame, 1, hak_thread_id()));
    CHILD_CHECK(hak_profile_stacks() == 2);
    _exit(3);
}

static void test_start_refused(void **state)
{
    (void)state;
    struct capture capture;
    assert_int_equal(hak_profile_interval(), 0);
    run_in_child(&capture, start_without_memory, NULL);
    assert_string_equal(capture.text, "");
    assert_exited(&capture, 3);
    run_in_child(&capture, start_without_entropy, NULL);
    assert_string_equal(capture.text, "");
    assert_exited(&capture, 3);
}

static void test_start(void **state)
{
    (void)state;
    setenv("HAKMEM_OPTIONS", "profile=4096,profile_seed=5", 1);
    hak_free(hak_malloc(1));
    assert_int_equal(hak_profile_interval(), 4096);
}

// ---- tables ----

// Without room for more addresses, stacks of known ones still have theirs.
static void many_locations(const void *unused)
{
    void *frames[PROFILE_FRAMES];
    struct profile_sums before, after;
    uint32_t stacks;
    uintptr_t address = 1;
    (void)unused;
    do {
        stacks = hak_profile_stacks();
        hak_profile_read(0, &before);
        for (unsigned i = 0; i < PROFILE_FRAMES; i++)
            frames[i] = (void *)address++;
        CHILD_CHECK(hak_profile_add(&frames, BYTES, frames, PROFILE_FRAMES, hak_thread_id()));
        hak_profile_freed(&frames, hak_thread_id());
    } while (hak_profile_stacks() > stacks);
    CHILD_CHECK(stacks < PROFILE_STACKS_MAX);
    CHILD_CHECK(hak_profile_locations() == PROFILE_LOCATIONS_MAX);
    hak_profile_read(0, &after);
    CHILD_CHECK(fabs(after.allocated.blocks - before.allocated.blocks - 1) < 0.001);
    uint32_t known[PROFILE_FRAMES];
    frames[0] = (void *)(uintptr_t)1;
    CHILD_CHECK(hak_profile_add(&frames, BYTES, frames, 1, hak_thread_id()));
    CHILD_CHECK(hak_profile_stacks() == stacks + 1);
    CHILD_CHECK(hak_profile_frames(stacks, known) == 1);
    CHILD_CHECK(hak_profile_location(known[0]) == frames[0]);
    hak_profile_read(stacks, &after);
    CHILD_CHECK(fabs(after.allocated.blocks - 1) < 0.001);
    _exit(3);
}

static void test_many_locations(void **state)
{
    (void)state;
    struct capture capture;
    run_in_child(&capture, many_locations, NULL);
    assert_string_equal(capture.text, "");
    assert_exited(&capture, 3);
}

// Stacks whose hash is the same are told apart, also where one is the begin of the other.
static void test_same_hash(void **state)
{
    (void)state;
    const uint64_t factor = UINT64_C(0x9e3779b97f4a7c15); // of profile.c
    const uintptr_t a = 0x1230, b = 0x4560, c = 0x7890, one = 0x9990;
    uint64_t ab = (2 ^ a) * factor ^ b;
    void *stacks[][2] = {
        { (void *)a, (void *)b },
        { (void *)c, (void *)(uintptr_t)(ab ^ (2 ^ c) * factor) },
        { (void *)one },
        { (void *)one, (void *)(uintptr_t)((1 ^ one) ^ (2 ^ one) * factor) },
    };
    for (unsigned i = 0; i < 4; i++) {
        uint32_t number = hak_profile_stacks(), frames[PROFILE_FRAMES], count = i == 2 ? 1 : 2;
        for (unsigned again = 0; again < 2; again++)
            assert_true(
                hak_profile_add(&stacks[i][again], BYTES, stacks[i], count, hak_thread_id()));
        assert_int_equal(hak_profile_stacks(), number + 1);
        assert_int_equal(hak_profile_frames(number, frames), count);
        for (unsigned k = 0; k < count; k++)
            assert_ptr_equal(hak_profile_location(frames[k]), stacks[i][k]);
        for (unsigned again = 0; again < 2; again++)
            hak_profile_freed(&stacks[i][again], hak_thread_id());
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start_refused), // before the process has started
        cmocka_unit_test(test_start),
        cmocka_unit_test(test_many_locations),
        cmocka_unit_test(test_same_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// test_profile.c: known calls, and what the profile says of them: within four standard deviations
// of its estimates, with fixed random numbers, so that a run is like another.
#define _GNU_SOURCE 1
#include "support.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hakmem.h"
#include "heap.h"
#include "intervals.h"
#include "profile.h"
#include <seam/os.h>
#include <seam/thread.h>
#include <seam/tls.h>

enum { INTERVAL = 4096, FUNCTION_BYTES = 512 };
#define CALLER __attribute__((noinline, aligned(FUNCTION_BYTES)))

// ---- a clock that stands still ----

uint64_t __wrap_hak_os_clock_ns(void);
static uint64_t now_ns = 1000;

uint64_t __wrap_hak_os_clock_ns(void)
{
    return now_ns;
}

// ---- calls, told apart by where they are made ----

#define ALLOCATOR(name)                         \
    CALLER static void *name(size_t n)          \
    {                                           \
        void *p = hak_malloc(n);                \
        assert_non_null(p);                     \
        __asm__ volatile("# " #name : "+r"(p)); \
        return p;                               \
    }
ALLOCATOR(call_a)
ALLOCATOR(call_b)
ALLOCATOR(call_c)
ALLOCATOR(call_d)
ALLOCATOR(call_e)
ALLOCATOR(call_f)
ALLOCATOR(call_g)
ALLOCATOR(call_h)

static bool is_in(uint32_t stack, const void *function)
{
    uint32_t frames[PROFILE_FRAMES];
    uint32_t count = hak_profile_frames(stack, frames);
    for (uint32_t i = 0; i < count; i++) {
        const void *at = hak_profile_location(frames[i]);
        if ((uintptr_t)at - (uintptr_t)function < FUNCTION_BYTES)
            return true;
    }
    return false;
}

static void add(struct profile_sum *to, struct profile_sum more)
{
    to->blocks += more.blocks;
    to->bytes += more.bytes;
}

// Of all stacks that the function is in; NULL: of all.
static struct profile_sums sums_of(const void *function)
{
    struct profile_sums all = { { 0, 0 }, { { { 0, 0 } } } }, one;
    for (uint32_t i = 0; i < hak_profile_stacks(); i++) {
        if (function != NULL && !is_in(i, function))
            continue;
        hak_profile_read(i, &one);
        add(&all.allocated, one.allocated);
        for (unsigned k = 0; k < LIFETIMES; k++)
            for (unsigned other = 0; other < 2; other++)
                add(&all.freed[k][other], one.freed[k][other]);
    }
    return all;
}

static struct profile_sum freed_in(const struct profile_sums *s)
{
    struct profile_sum freed = { 0, 0 };
    for (unsigned k = 0; k < LIFETIMES; k++)
        for (unsigned other = 0; other < 2; other++)
            add(&freed, s->freed[k][other]);
    return freed;
}

// The estimate of `blocks` blocks of n bytes is that, as far as chance allows.
static void expect_about(struct profile_sum sum, double blocks, size_t n)
{
    double weight = hak_interval_weight(n == 0 ? 1 : n, INTERVAL);
    double slack = 4 * sqrt(blocks * (weight - 1)) + 0.001;
    if (fabs(sum.blocks - blocks) > slack)
        fail_msg("%.1f blocks of %zu bytes are estimated as %.1f, not within %.1f", blocks, n,
                 sum.blocks, slack);
    if (fabs(sum.bytes - sum.blocks * (double)n) > 0.01)
        fail_msg("%.1f bytes in %.1f blocks of %zu", sum.bytes, sum.blocks, n);
}

static struct profile_sum less(struct profile_sum a, struct profile_sum b)
{
    return (struct profile_sum){ a.blocks - b.blocks, a.bytes - b.bytes };
}

// ---- estimates ----

static void test_estimates(void **state)
{
    (void)state;
    static const struct {
        size_t bytes;
        unsigned blocks;
    } kinds[] = { { 1, 40000 },   { 16, 40000 },         { 100, 20000 },
                  { 1000, 2000 }, { 5000, 400 },         { LARGE_SIZE_MAX / 3, 10 },
                  { 20000, 100 }, { LARGE_SIZE_MAX, 6 }, { 2 * SUPERSLAB_SIZE, 2 } };
    for (unsigned k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        struct profile_sums before = sums_of(call_a);
        for (unsigned i = 0; i < kinds[k].blocks; i++)
            hak_free(call_a(kinds[k].bytes));
        struct profile_sums after = sums_of(call_a);
        expect_about(less(after.allocated, before.allocated), kinds[k].blocks, kinds[k].bytes);
        expect_about(less(freed_in(&after), freed_in(&before)), kinds[k].blocks, kinds[k].bytes);
    }
}

// A block that is at hand is of its class, counts, and calloc clears it.
static void test_each_size(void **state)
{
    (void)state;
    for (size_t n = 1; n <= TABLE_SIZE_MAX + 1; n++)
        for (unsigned zeroed = 0; zeroed < 2; zeroed++) {
            void *p = hak_malloc(n);
            assert_non_null(p);
            memset(p, 0xa5, n);
            hak_free(p);
            int64_t left = tls_heap()->until_profile;
            unsigned char *q = zeroed ? hak_calloc(1, n) : hak_malloc(n);
            assert_non_null(q);
            if (hak_tag_of(q) != TAG_PROFILED) {
                assert_int_equal(hak_tag_of(q), hak_class_of(n + CANARY_BYTES));
                assert_true(tls_heap()->until_profile == left - (int64_t)n);
            }
            for (size_t i = 0; zeroed && i < n; i++)
                assert_int_equal(q[i], 0);
            hak_free(q);
        }
}

// What is at a decoy looks like the top of a magazine that is empty and full.
static void test_decoys(void **state)
{
    (void)state;
    struct heap *h = tls_heap();
    struct decoys *decoys = hak_heap_decoys(h);
    assert_true(hak_heap_ok(h));
    for (unsigned i = 0; i < DECOYS; i++) {
        own_store(&decoys->of[i], &hak_no_slots[0]);
        assert_false(hak_heap_ok(h));
        own_store(&decoys->of[i], &hak_no_slots[1]);
    }
    for (size_t i = 0; i <= TABLE_SIZE_MAX / 16; i++) {
        struct magazine *m = (struct magazine *)((char *)h + h->class_offset[i]);
        assert_false(hak_heap_is_magazine(h->class_offset[i]));
        assert_null(hak_magazine_pop(m));
        assert_false(hak_magazine_push(m, h));
        bool of_any = i == 0 || MITIGATE_BLOCKS;
        struct magazine *behind = hak_heap_behind(h, h->class_offset[i]);
        assert_ptr_equal(behind, &h->magazines[of_any ? TAG_NONE : hak_class_of(i * 16)]);
    }
    assert_true(hak_heap_ok(h));
}

// A request of no bytes counts as one of one.
static void test_no_bytes(void **state)
{
    (void)state;
    enum { BLOCKS = 40000 };
    if (MITIGATE_EMPTY)
        skip(); // these have no memory
    struct profile_sums before = sums_of(call_a);
    for (unsigned i = 0; i < BLOCKS; i++)
        hak_free(call_a(0));
    struct profile_sums after = sums_of(call_a);
    expect_about(less(after.allocated, before.allocated), BLOCKS, 0);
    assert_true(after.allocated.blocks > before.allocated.blocks);
}

// What is live, after some of it was freed.
static void test_live(void **state)
{
    (void)state;
    enum { BLOCKS = 3000, BYTES = 300 };
    static void *blocks[BLOCKS];
    for (unsigned i = 0; i < BLOCKS; i++)
        blocks[i] = call_b(BYTES);
    for (unsigned i = 0; i < BLOCKS; i += 3)
        hak_free(blocks[i]);
    struct profile_sums s = sums_of(call_b);
    expect_about(s.allocated, BLOCKS, BYTES);
    expect_about(less(s.allocated, freed_in(&s)), BLOCKS - BLOCKS / 3, BYTES);
    for (unsigned i = 0; i < BLOCKS; i++)
        if (i % 3 != 0)
            hak_free(blocks[i]);
    s = sums_of(call_b);
    assert_true(fabs(less(s.allocated, freed_in(&s)).blocks) < 0.001);
}

// Each lifetime has its own sum, from its bound on.
static void test_lifetimes(void **state)
{
    (void)state;
    const size_t n = 2 * LARGE_SIZE_MAX; // always sampled
    uint64_t bound = LIFETIME_FIRST_NS;
    for (unsigned k = 0; k < LIFETIMES; k++, bound *= 10) {
        void *p = call_c(n);
        now_ns += bound - 1;
        hak_free(p);
        p = call_c(n);
        now_ns += bound;
        hak_free(p);
    }
    struct profile_sums s = sums_of(call_c);
    for (unsigned k = 0; k < LIFETIMES; k++) {
        unsigned due = k == 0 ? 1 : k == LIFETIMES - 1 ? 3 : 2;
        assert_int_equal((int)(s.freed[k][0].blocks + 0.5), due);
        assert_true(s.freed[k][1].blocks == 0);
    }
}

// ---- threads ----

enum { SENT = 6000, SENT_BYTES = 200 };

struct sent {
    void *blocks[SENT];
    unsigned count;
};

static void *free_sent(void *argument)
{
    struct sent *s = argument;
    for (unsigned i = 0; i < s->count; i++)
        hak_free(s->blocks[i]);
    return NULL;
}

static void test_other_threads(void **state)
{
    (void)state;
    static struct sent sent;
    pthread_t thread;
    for (unsigned i = 0; i < SENT; i++) {
        void *p = call_d(SENT_BYTES);
        if (i % 4 == 0)
            sent.blocks[sent.count++] = p;
        else
            hak_free(p);
    }
    assert_int_equal(pthread_create(&thread, NULL, free_sent, &sent), 0);
    pthread_join(thread, NULL);
    struct profile_sums s = sums_of(call_d);
    struct profile_sum own = { 0, 0 }, other = { 0, 0 };
    for (unsigned k = 0; k < LIFETIMES; k++) {
        add(&own, s.freed[k][0]);
        add(&other, s.freed[k][1]);
    }
    expect_about(own, SENT - SENT / 4, SENT_BYTES);
    expect_about(other, SENT / 4, SENT_BYTES);
}

static void *allocate_once(void *argument)
{
    (void)argument;
    return call_e(3000);
}

// Threads that allocate once are sampled as others are.
static void test_short_threads(void **state)
{
    (void)state;
    enum { THREADS = 150 };
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_t thread;
        void *p;
        assert_int_equal(pthread_create(&thread, NULL, allocate_once, NULL), 0);
        pthread_join(thread, &p);
        hak_free(p);
    }
    expect_about(sums_of(call_e).allocated, THREADS, 3000);
}

// ---- readers ----

static struct own_u32 reading = { 1 }, reads;

static void *read_all(void *argument)
{
    size_t *seen = argument;
    while (own_load(&reading) != 0) {
        *seen += sums_of(call_a).allocated.blocks > 0;
        own_store(&reads, own_load(&reads) + 1);
    }
    return NULL;
}

// Stacks and addresses come while others read. (ThreadSanitizer knows whether what is counted was
// written before.)
static void test_readers(void **state)
{
    (void)state;
    pthread_t reader;
    size_t seen = 0;
    assert_int_equal(pthread_create(&reader, NULL, read_all, &seen), 0);
    for (uintptr_t i = 0; i < 40 || own_load(&reads) == 0; i++) {
        void *frames[] = { (void *)(i * 64 + 16), (void *)(i * 64 + 32), (void *)(i + 1) };
        assert_true(hak_profile_add(frames, 1000, frames, 3, hak_thread_id()));
        hak_profile_freed(frames, hak_thread_id());
        thread_yield();
    }
    own_store(&reading, 0);
    pthread_join(reader, NULL);
    assert_true(seen != 0);
}

// ---- fork ----

struct at_fork {
    void *before[2];
    double live;
};

static double live_of(const void *function)
{
    struct profile_sums s = sums_of(function);
    return less(s.allocated, freed_in(&s)).blocks;
}

// The child has the parent's profile, and its thread is the one that allocated.
static void in_child(const void *argument)
{
    const struct at_fork *f = argument;
    CHILD_CHECK(live_of(call_f) == f->live);
    hak_free(f->before[0]);
    struct profile_sums s = sums_of(call_f);
    double own = 0, other = 0;
    for (unsigned k = 0; k < LIFETIMES; k++) {
        own += s.freed[k][0].blocks;
        other += s.freed[k][1].blocks;
    }
    CHILD_CHECK(fabs(own - 1) < 0.001);
    CHILD_CHECK(other == 0);
    CHILD_CHECK(fabs(live_of(call_f) - (f->live - 1)) < 0.001);
    call_f(2 * SUPERSLAB_SIZE);
    CHILD_CHECK(fabs(live_of(call_f) - f->live) < 0.001);
    struct hak_audit_report report;
    CHILD_CHECK(hak_audit(&report));
}

static void test_fork(void **state)
{
    (void)state;
    struct capture capture;
    struct at_fork f = { { call_f(2 * SUPERSLAB_SIZE), call_f(2 * SUPERSLAB_SIZE) }, 0 };
    f.live = live_of(call_f);
    run_in_child(&capture, in_child, &f);
    assert_string_equal(capture.text, "");
    assert_exited(&capture, 0);
    assert_true(live_of(call_f) == f.live);
    hak_free(f.before[0]);
    hak_free(f.before[1]);
    assert_true(fabs(live_of(call_f)) < 0.001);
}

// ---- change of size ----

// In place or not, the profile sees a free and an allocation of the new size.
static void test_resize(void **state)
{
    (void)state;
    static const size_t sizes[] = { 3 * SUPERSLAB_SIZE, 4 * SUPERSLAB_SIZE, 2 * SUPERSLAB_SIZE };
    void *p = call_g(2 * SUPERSLAB_SIZE); // each is sampled for sure
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct profile_sums before = sums_of(NULL);
        p = hak_realloc(p, sizes[i]);
        assert_non_null(p);
        struct profile_sums after = sums_of(NULL);
        assert_true(fabs(less(after.allocated, before.allocated).blocks - 1) < 0.001);
        assert_true(fabs(less(after.allocated, before.allocated).bytes - (double)sizes[i]) < 0.5);
        assert_true(fabs(less(freed_in(&after), freed_in(&before)).blocks - 1) < 0.001);
    }
    hak_free(p);
}

// A block of a class that grows into units of its own is one of them too.
static void test_growth(void **state)
{
    (void)state;
    enum { BLOCKS = 60 };
    size_t grown = CLASS_REQUEST_MAX;
    double blocks = 0;
    for (unsigned i = 0; i < BLOCKS; i++) {
        void *p = call_h(GROWN_SIZE_MIN / 2);
        struct profile_sums before = sums_of(NULL);
        p = hak_realloc(p, grown);
        assert_non_null(p);
        struct profile_sums after = sums_of(NULL);
        blocks += less(after.allocated, before.allocated).blocks;
        hak_free(p);
    }
    double weight = hak_interval_weight(grown, INTERVAL);
    assert_true(fabs(blocks - BLOCKS) <= 4 * sqrt(BLOCKS * (weight - 1)) + 0.001);
}

// ---- room ----

// Without room for more samples blocks are handed out all the same, and counted as lost.
static void test_full(void **state)
{
    (void)state;
    enum { BLOCKS = 2 * PROFILE_SAMPLES_MAX };
    if (!GEOMETRY_SMALL)
        skip(); // a million live samples
    static void *blocks[BLOCKS];
    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[i] = hak_malloc(CLASS_SIZE_MAX / 2);
        assert_non_null(blocks[i]);
    }
    assert_true(hak_profile_lost() != 0);
    struct hak_audit_report report;
    assert_true(hak_audit(&report));
    for (unsigned i = 0; i < BLOCKS; i++)
        hak_free(blocks[i]);
    assert_true(hak_audit(&report));
    struct profile_sums s = sums_of(NULL);
    assert_true(fabs(less(s.allocated, freed_in(&s)).blocks) < 0.01);
}

// More stacks than there is room for are added up without frames.
static void test_many_stacks(void **state)
{
    (void)state;
    void *frames[PROFILE_FRAMES + 9];
    struct profile_sums before, after;
    hak_profile_read(0, &before);
    for (uintptr_t i = 0; hak_profile_stacks() < PROFILE_STACKS_MAX &&
                          hak_profile_locations() < PROFILE_LOCATIONS_MAX;
         i++) {
        frames[0] = (void *)(i + 1);
        frames[1] = (void *)1;
        assert_true(hak_profile_add(&frames, INTERVAL * 100, frames, 2, hak_thread_id()));
        hak_profile_freed(&frames, hak_thread_id());
    }
    for (unsigned i = 0; i < PROFILE_FRAMES + 9; i++)
        frames[i] = (void *)(uintptr_t)(12345678 + i);
    assert_true(
        hak_profile_add(&frames, INTERVAL * 100, frames, PROFILE_FRAMES + 9, hak_thread_id()));
    hak_profile_freed(&frames, hak_thread_id());
    hak_profile_read(0, &after);
    assert_true(fabs(less(after.allocated, before.allocated).blocks - 1) < 0.001);
    hak_profile_freed((void *)1, hak_thread_id()); // none of ours
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_estimates),     cmocka_unit_test(test_live),
        cmocka_unit_test(test_each_size),     cmocka_unit_test(test_decoys),
        cmocka_unit_test(test_no_bytes),      cmocka_unit_test(test_lifetimes),
        cmocka_unit_test(test_other_threads), cmocka_unit_test(test_short_threads),
        cmocka_unit_test(test_fork),          cmocka_unit_test(test_resize),
        cmocka_unit_test(test_growth),        cmocka_unit_test(test_full),
        cmocka_unit_test(test_readers),
        cmocka_unit_test(test_many_stacks), // the last: it fills the tables
    };
    setenv("HAKMEM_OPTIONS", "profile=4096,profile_seed=5", 1);
    hak_free(hak_malloc(1)); // stacks are known from now on
    assert_int_equal(hak_profile_interval(), INTERVAL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

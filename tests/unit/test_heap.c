// test_heap.c: several heaps in one thread against the plain list of live blocks: in any order
// of pops, pushes, refills, flushes, drains, sweeps and purges, a block has one owner, keeps its
// contents, and the audit's sums agree with the list.
#define _GNU_SOURCE 1
#include "support.h"

#include <stdlib.h>

#include <seam/os.h>
#include <seam/sanitizer.h>

#include "cache.h"
#include "hakmem.h"
#include "heaps.h"
#include "sizeclass.h"

enum { HEAPS = 4, BLOCKS = 3000, SIZES = 7 };

struct block {
    char *p;
    unsigned class_index;
    unsigned char fill;
};

static struct heap *heaps[HEAPS];
static struct block live[BLOCKS];
static unsigned live_count;
static unsigned classes[SIZES];

static unsigned below(unsigned *seed, unsigned bound)
{
    return (unsigned)rand_r(seed) % bound;
}

static void check_audit(void)
{
    struct hak_audit_report report;
    if (!hak_audit(&report))
        fail_msg("%s", report.first_error);
    assert_int_equal(report.live, live_count);
    assert_int_equal(report.capacity, report.live + report.cached + report.free + report.remote);
}

static bool is_filled(const char *p, size_t bytes, unsigned char value)
{
    for (size_t i = 0; i < bytes; i += i + 17 < bytes || i == bytes - 1 ? 17 : bytes - 1 - i)
        if ((unsigned char)p[i] != value)
            return false;
    return true;
}

static char *pop_or_refill(struct heap *h, unsigned class_index, bool *zero)
{
    *zero = false;
    char *p = hak_magazine_pop(&h->magazines[class_index]);
    if (p != NULL || !hak_cache_grow(h, class_index))
        return p;
    *zero = true; // which it is to take back
    return hak_heap_refill(h, class_index, POOL_ANY, zero);
}

static void allocate(struct heap *h, unsigned class_index, unsigned char fill)
{
    bool zero;
    size_t bytes = hak_class_bytes(class_index);
    char *p = pop_or_refill(h, class_index, &zero);
    assert_non_null(p);
    assert_int_equal(hak_tag_of(p), class_index);
    sanitize_take(p, bytes, bytes);
    if (zero) {
        sanitize_defined(p, bytes);
        for (size_t i = 0; i < bytes; i++)
            assert_int_equal(p[i], 0);
    }
    memset(p, fill, bytes);
    live[live_count++] = (struct block){ p, class_index, fill };
}

static void push(struct heap *h, unsigned class_index, void *p)
{
    struct magazine *m = &h->magazines[class_index];
    if (hak_magazine_push(m, p))
        return;
    if (!hak_cache_make_room(h, class_index) || !hak_magazine_push(m, p))
        hak_heap_free_one(h, class_index, p);
}

// Frees the block by any heap, its owner or not.
static void release(struct heap *h, unsigned i, bool past_the_magazine)
{
    struct block b = live[i];
    size_t bytes = hak_class_bytes(b.class_index);
    if (!is_filled(b.p, bytes, b.fill))
        fail_msg("the block %p of %zu bytes was written to", (void *)b.p, bytes);
    live[i] = live[--live_count];
    sanitize_give(b.p, bytes);
    if (past_the_magazine)
        hak_heap_free_one(h, b.class_index, b.p);
    else
        push(h, b.class_index, b.p);
}

static int start(void **state)
{
    (void)state;
    setenv("HAKMEM_OPTIONS", "arena_mib=512", 1);
    hak_free(hak_malloc(1));
    for (unsigned i = 0; i < HEAPS; i++)
        if ((heaps[i] = hak_heaps_borrow()) == NULL)
            return -1;
    static const size_t sizes[SIZES] = { 16, 48, 512, 1024, 4096, 7168, CLASS_SIZE_MAX };
    for (unsigned i = 0; i < SIZES; i++)
        classes[i] = hak_class_of(sizes[i]);
    return 0;
}

static void step(unsigned *seed)
{
    struct heap *h = heaps[below(seed, HEAPS)];
    unsigned what = below(seed, 1000);
    unsigned class_index = classes[below(seed, below(seed, 8) == 0 ? SIZES : SIZES - 1)];
    if (what < 480 && live_count < BLOCKS) {
        for (unsigned n = below(seed, 40); n-- != 0 && live_count < BLOCKS;)
            allocate(h, class_index, (unsigned char)below(seed, 256));
    } else if (what < 960) {
        for (unsigned n = below(seed, 40); n-- != 0 && live_count != 0;)
            release(h, below(seed, live_count), below(seed, 20) == 0);
    } else if (what < 970) {
        hak_heap_drain(h);
    } else if (what < 975) {
        hak_heap_release_kept(h);
    } else if (what < 980) {
        hak_heap_flush_all(h);
    } else if (what < 985) {
        hak_pool_purge(os_clock_ms(), 0, SIZE_MAX);
    } else {
        unsigned i = below(seed, HEAPS);
        hak_heaps_return(heaps[i]);
        hak_heaps_sweep(heaps[(i + 1) % HEAPS], class_index, HEAPS);
        heaps[i] = hak_heaps_borrow();
        assert_non_null(heaps[i]);
    }
}

static void test_random(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 3; seed++) {
        unsigned random = seed;
        for (int i = 0; i < 3000; i++) {
            step(&random);
            if (i % 50 == 0) {
                check_audit();
                for (unsigned j = 0; j < HEAPS; j++)
                    assert_true(hak_heap_ok(heaps[j]));
            }
        }
        while (live_count != 0)
            release(heaps[below(&random, HEAPS)], below(&random, live_count), false);
        check_audit();
    }
    // All is free, so all slabs can go: owners drain what the others flushed to them.
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < HEAPS; i++)
            hak_heap_flush_all(heaps[i]);
    hak_thread_flush();
    struct hak_audit_report report;
    assert_true(hak_audit(&report));
    assert_int_equal(report.capacity, report.free);
    assert_int_equal(report.slabs, 0);
    hak_pool_purge(os_clock_ms(), 0, SIZE_MAX);
    assert_int_equal(hak_superslab_bytes_committed(), 0);
}

// A magazine keeps its newest blocks: the oldest go back when it is full.
static void test_flush_oldest(void **state)
{
    (void)state;
    struct heap *h = heaps[0];
    unsigned class_index = hak_class_of(64);
    struct magazine *m = &h->magazines[class_index];
    hak_heap_flush_all(h);
    for (uint32_t i = 0; i <= MAGAZINE_BLOCKS_MAX; i++)
        allocate(h, class_index, (unsigned char)i);
    hak_heap_flush_all(h);
    char *freed[MAGAZINE_BLOCKS_MAX + 1];
    uint32_t count = 0;
    uint64_t flushes = own_load(&h->counters.flushes);
    while (own_load(&h->counters.flushes) == flushes) {
        freed[count++] = live[live_count - 1].p;
        release(h, live_count - 1, false);
    }
    uint32_t kept = hak_magazine_count(m);
    assert_int_equal(count - 1, own_load(&m->capacity));
    assert_int_equal(kept, count - hak_magazine_batch(m));
    for (uint32_t i = 0; i < kept; i++)
        assert_ptr_equal(hak_magazine_pop(m), freed[count - 1 - i]);
    for (uint32_t i = 0; i < kept; i++) // handed back, so that the audit's sums hold
        hak_heap_free_one(h, class_index, freed[count - 1 - i]);
    while (live_count != 0)
        release(h, live_count - 1, false);
    hak_heap_flush_all(h);
    check_audit();
}

// Blocks of the slab that p lies in that were handed out once: they come first in it.
static uint32_t handed(const char *p)
{
    return own_load(&hak_slab_of_unit(hak_unit_of(p))->handed);
}

// Blocks that were used before are handed out before one that no one has touched yet: those of
// other slabs, and those that other threads freed.
static void test_used_before_untouched(void **state)
{
    (void)state;
    if (MITIGATE_RANDOM)
        skip(); // blocks are handed out in a random order
    struct heap *owner = heaps[3], *other = heaps[1];
    unsigned class_index = hak_class_of(128);
    uint32_t blocks = hak_classes[class_index].units * UNIT_SIZE / 128;
    for (int remote = 0; remote < 2; remote++) {
        hak_heap_flush_all(owner);
        hak_pool_purge(os_clock_ms(), 0, SIZE_MAX);
        while (live_count < blocks + blocks / 4) // one slab, and the begin of another
            allocate(owner, class_index, 1);
        hak_heap_flush_all(owner);
        char *last = live[live_count - 1].p;
        assert_ptr_not_equal(hak_slab_of_unit(hak_unit_of(last)),
                             hak_slab_of_unit(hak_unit_of(live[0].p)));
        uint32_t before = handed(last);
        for (uint32_t i = 0; i < blocks / 2; i++)
            release(remote ? other : owner, 0, true); // the newest takes its place: any will do
        for (uint32_t i = 0; i < blocks / 2; i++)
            allocate(owner, class_index, 2);
        assert_int_equal(handed(last), before);
        while (live_count != 0)
            release(owner, live_count - 1, true);
    }
    hak_heap_flush_all(owner);
    check_audit();
}

// A cache that is not refilled halves with each trim; one that is refilled stays.
static void test_decay(void **state)
{
    (void)state;
    struct heap *h = heaps[0];
    unsigned class_index = hak_class_of(64);
    struct magazine *m = &h->magazines[class_index];
    hak_heap_flush_all(h);
    h->now_ms = 1;
    hak_cache_trim(h);
    while (live_count <= MAGAZINE_BLOCKS_MAX)
        allocate(h, class_index, 1);
    uint32_t before = hak_magazine_count(m);
    h->now_ms = 2;
    hak_cache_trim(h); // refilled since the last
    assert_int_equal(hak_magazine_count(m), before);
    while (live_count != 0 && hak_magazine_count(m) < MAGAZINE_BLOCKS_START)
        release(h, live_count - 1, false);
    for (uint64_t now_ms = 3; (before = hak_magazine_count(m)) != 0; now_ms++) {
        h->now_ms = now_ms;
        hak_cache_trim(h);
        assert_int_equal(hak_magazine_count(m), before / 2);
        check_audit();
    }
    while (live_count != 0)
        release(h, live_count - 1, false);
    hak_heap_flush_all(h);
    check_audit();
}

static uint64_t slabs_from_pool(struct heap *h, unsigned class_index)
{
    const struct class_counters *n = hak_heap_counts(h, class_index);
    return own_load(&n->taken[REFILL_POOL_UNUSED]) + own_load(&n->taken[REFILL_POOL_EMPTY]) +
           own_load(&n->taken[REFILL_POOL_NEW]);
}

// Remote blocks come back through the inbox, before new units are taken.
static void test_remote_first(void **state)
{
    (void)state;
    unsigned class_index = hak_class_of(96);
    struct heap *owner = heaps[0], *other = heaps[1];
    while (live_count < SLAB_BLOCKS_MAX / 8)
        allocate(owner, class_index, 1);
    hak_heap_flush_all(owner);
    uint64_t slabs_before = slabs_from_pool(owner, class_index);
    for (int round = 0; round < 50; round++) {
        unsigned n = live_count;
        while (live_count != 0)
            release(other, live_count - 1, false);
        hak_heap_flush_all(other);
        check_audit();
        while (live_count < n)
            allocate(owner, class_index, (unsigned char)round);
    }
    uint64_t slabs_after = slabs_from_pool(owner, class_index);
    // One slab in use is left over per round at most, and none as a rule.
    assert_true(slabs_after - slabs_before <= 4);
    assert_true(own_load(&owner->counters.drained) != 0);
    while (live_count != 0)
        release(owner, live_count - 1, false);
    hak_heap_flush_all(owner);
    hak_heap_flush_all(other);
    check_audit();
}

// An empty slab of which a notification is on its way stays until the drain meets it.
static void test_release_waits(void **state)
{
    (void)state;
    struct heap *h = heaps[2];
    unsigned class_index = hak_class_of(CLASS_SIZE_MAX); // none is kept for the next refill
    hak_heap_flush_all(h);
    allocate(h, class_index, 1);
    char *p = live[0].p;
    hak_remote_notify(hak_slab_of_unit(hak_unit_of(p))); // for nothing, which is legal
    release(h, 0, true);
    while (live_count != 0)
        release(h, 0, true);
    assert_int_equal(hak_tag_of(p), class_index);
    check_audit();
    assert_int_equal(hak_heap_drain(h), 0);
    assert_int_equal(hak_tag_of(p), TAG_NONE);
    check_audit();
}

// ---- mistakes of the user ----

struct mistake {
    size_t bytes;
    int kind; // 0: twice, side by side; 1: twice, the first flushed; 2: inside; 3: never handed out
    bool other_heap;
};

static void commit_mistake(const void *argument)
{
    const struct mistake *m = argument;
    unsigned class_index = hak_class_of(m->bytes);
    struct heap *h = heaps[0], *by = heaps[m->other_heap ? 1 : 0];
    allocate(h, class_index, 1);
    allocate(h, class_index, 2);
    char *p = live[0].p;
    push(by, class_index, m->kind == 2 ? p + 16 : p);
    if (m->kind == 1)
        hak_heap_flush_all(by);
    if (m->kind == 3) {
        struct slab *s = hak_slab_of_unit(hak_unit_of(p));
        uint32_t last = own_load(&s->blocks) - 1;
        CHILD_CHECK(own_load(&s->handed) <= last);
        push(by, class_index, hak_slab_base(s) + last * hak_class_bytes(class_index));
    } else {
        push(by, class_index, p);
    }
    hak_heap_flush_all(by);
    hak_heap_flush_all(h);
}

static void expect_fault(struct mistake m, const char *text)
{
    struct capture capture;
    run_in_child(&capture, commit_mistake, &m);
    assert_aborted(&capture);
    if (strstr(capture.text, text) == NULL || capture.writes != 1)
        fail_msg("%zu bytes, kind %d: %s", m.bytes, m.kind, capture.text);
}

static void test_mistakes(void **state)
{
    (void)state;
    for (int other = 0; other < 2; other++) {
        for (size_t bytes = 64; bytes <= 1024; bytes *= 4) {
            expect_fault((struct mistake){ bytes, 0, other }, "hakmem: double free of 0x");
            expect_fault((struct mistake){ bytes, 1, other }, "hakmem: double free of 0x");
            expect_fault((struct mistake){ bytes, 2, other }, "hakmem: invalid free of 0x");
        }
        expect_fault((struct mistake){ 32, 3, other }, "hakmem: free of never allocated 0x");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_flush_oldest),
        cmocka_unit_test(test_used_before_untouched),
        cmocka_unit_test(test_decay),
        cmocka_unit_test(test_remote_first),
        cmocka_unit_test(test_release_waits),
        cmocka_unit_test(test_mistakes),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}

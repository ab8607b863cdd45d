// test_metrics.c: hits and misses, refills and flushes of a class against what the test itself saw
// happen to the magazine.
#define _GNU_SOURCE 1
#include "metrics.h"

#include <seam/tls.h>

#include "heaps.h"
#include "sizeclass.h"

enum { BLOCKS = 3000, STEPS = 30000, BYTES = 80 };

struct seen {
    struct hak_flow flow;
    uint64_t hits_certain; // of malloc: what a reader can know without count_hits
    uint32_t left;
};

static struct magazine *magazine(unsigned c)
{
    return &tls_heap()->magazines[c];
}

static uint32_t count_of(unsigned c)
{
    return hak_heap_is_real(tls_heap()) ? hak_magazine_count(magazine(c)) : 0;
}

static bool is_full(unsigned c)
{
    return !hak_heap_is_real(tls_heap()) ||
           (void **)own_load(&magazine(c)->top) == magazine(c)->limit;
}

// A slow path looks: what is gone was handed out.
static void look(struct seen *s, uint32_t count)
{
    s->hits_certain += s->left > count ? s->left - count : 0;
}

static void *malloc_seen(struct seen *s, unsigned c, size_t n)
{
    uint32_t before = count_of(c);
    void *p = hak_malloc(n);
    CHILD_CHECK(p != NULL && hak_tag_of(p) == c);
    if (before != 0) {
        s->flow.malloc_hits++;
    } else {
        look(s, 0);
        s->flow.malloc_misses++;
        s->flow.refilled += count_of(c) + 1;
        s->left = count_of(c);
    }
    return p;
}

// How each block of the magazine would go back: to a slab of the heap, and in a run that it begins.
static struct {
    bool own, begins;
} ways[MAGAZINE_BLOCKS_MAX + 1];

static void find_ways(unsigned c)
{
    const struct slab *slab = NULL;
    uint32_t word = 0;
    for (uint32_t i = 1; i <= count_of(c); i++) {
        const void *p = hak_magazine_slots(magazine(c))[i];
        const struct slab *of = hak_slab_of_unit(hak_unit_of(p));
        ways[i].own = hak_remote_is_owner(of, &tls_heap()->inbox);
        ways[i].begins = of != slab || hak_slab_index(of, p) / 64 != word;
        slab = of;
        word = hak_slab_index(of, p) / 64;
    }
}

static void free_seen(struct seen *s, unsigned c, void *p)
{
    if (!is_full(c)) {
        s->flow.free_hits++;
        hak_free(p);
        return;
    }
    uint32_t before = count_of(c);
    s->flow.free_misses++;
    look(s, before);
    find_ways(c);
    hak_free(p);
    for (uint32_t i = 1; i <= before + 1 - count_of(c); i++) { // the oldest are gone
        *(ways[i].own ? &s->flow.flushed_own : &s->flow.flushed_remote) += 1;
        *(ways[i].own ? &s->flow.runs_own : &s->flow.runs_remote) += ways[i].begins;
    }
    s->left = count_of(c);
}

static struct hak_flow flow_of(unsigned c)
{
    struct hak_class_stats stats;
    CHILD_CHECK(hak_get_class_stats(c - CLASS_FIRST, &stats));
    CHILD_CHECK(stats.capacity == stats.live + stats.cached + stats.free + stats.remote);
    return stats.flow;
}

#define SAME(got, wanted, field)                                                              \
    do {                                                                                      \
        if ((got).field != (wanted).field) {                                                  \
            dprintf(2, "%s: %llu instead of %llu\n", #field, (unsigned long long)(got).field, \
                    (unsigned long long)(wanted).field);                                      \
            _exit(1);                                                                         \
        }                                                                                     \
    } while (0)

static void check_flow(const struct seen *s, unsigned c, bool exact)
{
    struct hak_flow got = flow_of(c);
    struct hak_flow wanted = s->flow;
    uint32_t count = count_of(c);
    if (!exact) {
        wanted.malloc_hits = s->hits_certain + (s->left > count ? s->left - count : 0);
        wanted.free_hits -= s->flow.malloc_hits - wanted.malloc_hits;
    }
    CHILD_CHECK(wanted.malloc_hits <= s->flow.malloc_hits);
    SAME(got, wanted, malloc_misses);
    SAME(got, wanted, free_misses);
    SAME(got, wanted, refilled);
    SAME(got, wanted, flushed_own);
    SAME(got, wanted, flushed_remote);
    SAME(got, wanted, runs_own);
    SAME(got, wanted, runs_remote);
    SAME(got, wanted, malloc_hits);
    SAME(got, wanted, free_hits);
    CHILD_CHECK(got.malloc_hits + got.malloc_misses - got.free_hits - got.free_misses ==
                got.refilled - got.flushed_own - got.flushed_remote - count);
}

// Grows and shrinks by turns, so that magazines run empty and full.
static void random_flow(bool exact)
{
    static void *live[BLOCKS];
    struct seen seen = { 0 };
    unsigned random = 1, count = 0;
    unsigned c = hak_class_of(BYTES);
    for (unsigned i = 0; i < STEPS; i++) {
        bool grows = i / 2500 % 2 == 0;
        if (count < BLOCKS && (count == 0 || rand_r(&random) % 8 < (grows ? 6 : 2))) {
            live[count++] = malloc_seen(&seen, c, BYTES);
        } else {
            unsigned any = (unsigned)rand_r(&random) % count;
            void *p = live[any];
            live[any] = live[--count];
            free_seen(&seen, c, p);
        }
        if (i % 97 == 0)
            check_flow(&seen, c, exact);
    }
    check_flow(&seen, c, exact);
    CHILD_CHECK(seen.flow.malloc_hits > 1000 && seen.flow.malloc_misses > 10);
    CHILD_CHECK(seen.flow.free_hits > 1000 && seen.flow.free_misses > 5);
    CHILD_CHECK(seen.flow.runs_own > 10);
}

static void certain_hits(const void *argument)
{
    (void)argument;
    start(STILL);
    random_flow(false);
}

static void expect_exact(const char *options)
{
    start(options);
    struct hak_stats stats;
    hak_get_stats(&stats);
    CHILD_CHECK(stats.count_hits == 1);
    random_flow(true);
    // Each way to allocate is counted.
    unsigned c = hak_class_of(BYTES);
    for (int way = 0; way < 4; way++) {
        hak_free(hak_malloc(BYTES)); // there is a block in the magazine
        struct hak_flow before = flow_of(c);
        void *p = way == 0   ? hak_malloc(BYTES)
                  : way == 1 ? hak_calloc(1, BYTES)
                  : way == 2 ? hak_aligned_alloc(16, BYTES)
                             : hak_realloc(NULL, BYTES);
        struct hak_flow after = flow_of(c);
        CHILD_CHECK(after.malloc_hits == before.malloc_hits + 1);
        CHILD_CHECK(after.malloc_misses == before.malloc_misses);
        CHILD_CHECK(after.free_hits == before.free_hits);
        hak_free(p);
        CHILD_CHECK(flow_of(c).free_hits == before.free_hits + 1);
    }
    unsigned aligned = hak_class_request(BYTES, 64);
    hak_free(hak_aligned_alloc(64, BYTES));
    struct hak_flow before = flow_of(aligned);
    void *p = hak_aligned_alloc(64, BYTES);
    struct hak_flow after = flow_of(aligned);
    CHILD_CHECK(after.malloc_hits == before.malloc_hits + 1);
    CHILD_CHECK(after.malloc_misses == before.malloc_misses);
    hak_free(p);
}

static void exact_hits(const void *argument)
{
    (void)argument;
    expect_exact(STILL ",count_hits=1");
}

// The profile counts the same requests. It samples none of these.
static void exact_hits_in_profile(const void *argument)
{
    (void)argument;
    expect_exact(STILL ",count_hits=1,profile=1099511627776,profile_seed=1");
}

// A pair that always hits leaves no trace, and is not made up either.
static void pairs(const void *argument)
{
    (void)argument;
    start(STILL);
    unsigned c = hak_class_of(BYTES);
    void *p = hak_malloc(BYTES), *q = hak_malloc(BYTES);
    hak_free(p);
    hak_free(q);
    struct hak_flow before = flow_of(c);
    for (int i = 0; i < 1000; i++)
        hak_free(hak_malloc(BYTES));
    struct hak_flow after = flow_of(c);
    CHILD_CHECK(memcmp(&before, &after, sizeof before) == 0);
}

IN_RELEASE(certain_hits)
IN_RELEASE(exact_hits)
IN_RELEASE(exact_hits_in_profile)
IN_RELEASE(pairs)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_certain_hits),
        cmocka_unit_test(test_exact_hits),
        cmocka_unit_test(test_exact_hits_in_profile),
        cmocka_unit_test(test_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

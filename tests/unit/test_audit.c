// test_audit.c: the audit finds each kind of damage that it promises to find, and names it; on a
// healthy heap it finds nothing and its sums are those of the program.
#define _GNU_SOURCE 1
#include "support.h"

#include <pthread.h>
#include <stdlib.h>

#include <seam/tls.h>

#include "cache.h"
#include "hakmem.h"
#include "heaps.h"
#include "large.h"
#include "sizeclass.h"

// Bytes of the blocks that are tampered with.
enum { SMALL = HAK_MITIGATIONS & 8 ? 56 : 64, BLOCK = 64 };

static void expect_healthy(void)
{
    struct hak_audit_report report;
    bool ok = hak_audit(&report);
    if (!ok)
        fail_msg("%s", report.first_error);
    assert_int_equal(report.errors, 0);
    assert_string_equal(report.first_error, "");
}

static void expect_error(const char *text)
{
    struct hak_audit_report report;
    assert_false(hak_audit(&report));
    assert_true(report.errors >= 1);
    if (strncmp(report.first_error, text, strlen(text)) != 0)
        fail_msg("found: %s\ninstead of: %s", report.first_error, text);
}

// Damage, what must be found, and how to repair it.
#define EXPECT_FOUND(damage, text, repair) \
    do {                                   \
        expect_healthy();                  \
        damage;                            \
        expect_error(text);                \
        repair;                            \
        expect_healthy();                  \
    } while (0)

static struct slab *slab_of(const void *p)
{
    return hak_slab_of_unit(hak_unit_of(p));
}

static struct magazine *magazine(void)
{
    return &tls_heap()->magazines[hak_class_of(BLOCK)];
}

static void test_sums(void **state)
{
    (void)state;
    struct hak_audit_report report;
    void *p[50], *large = hak_malloc(CLASS_SIZE_MAX + 1), *huge = hak_malloc(LARGE_SIZE_MAX + 1);
    for (unsigned i = 0; i < 50; i++)
        p[i] = hak_malloc(SMALL * (i % 3 + 1));
    assert_true(hak_audit(&report));
    assert_int_equal(report.live, 50);
    assert_int_equal(report.large, 1);
    assert_int_equal(report.huge, 1);
    assert_int_equal(report.capacity, report.live + report.cached + report.free + report.remote);
    for (unsigned i = 0; i < 50; i++)
        hak_free(p[i]);
    hak_free(large);
    hak_free(huge);
    assert_true(hak_audit(&report));
    assert_int_equal(report.live + report.large + report.huge, 0);
    hak_thread_flush();
    assert_true(hak_audit(&report));
    assert_int_equal(report.cached, 0);
    assert_int_equal(report.capacity, report.free);
}

static void drop_newest(void)
{
    assert_non_null(hak_magazine_pop(magazine()));
}

static void test_magazines(void **state)
{
    (void)state;
    static uint64_t foreign[2];
    char *p = hak_malloc(SMALL), *other = hak_malloc(2 * SMALL);
    while (hak_magazine_count(magazine()) > 0) // room for two more
        drop_newest();
    hak_thread_flush(); // what was dropped stays live: it is this test's own
    void *q = hak_malloc(SMALL);
    while (hak_magazine_count(magazine()) + 2 > own_load(&magazine()->capacity))
        if (!hak_cache_make_room(tls_heap(), hak_class_of(BLOCK)))
            fail();
    struct slab *s = slab_of(p);
    EXPECT_FOUND((hak_magazine_push(magazine(), p), hak_magazine_push(magazine(), p)),
                 "a block is in two magazines, or twice in one at ",
                 (drop_newest(), drop_newest()));
    EXPECT_FOUND(hak_magazine_push(magazine(), p + 16),
                 "a magazine holds what was never a block at ", drop_newest());
    EXPECT_FOUND(hak_magazine_push(magazine(), other),
                 "a magazine holds what is no block of its class at ", drop_newest());
    EXPECT_FOUND(hak_magazine_push(magazine(), foreign),
                 "a magazine holds what is no block of its class at ", drop_newest());
    // In the magazine and free in the slab as well.
    uint32_t index = hak_slab_index(s, p);
    unsigned w = index / 64;
    uint64_t bit = (uint64_t)1 << index % 64, before = own_load(hak_slab_free_word(s, w));
    uint32_t count = own_load(&s->free_blocks);
    assert_true(count != 0);
    EXPECT_FOUND((hak_magazine_push(magazine(), p),
                  own_store(hak_slab_free_word(s, w), before | bit),
                  own_store(&s->free_blocks, count + 1)),
                 "a block is in a magazine and in its slab at ",
                 (drop_newest(), own_store(hak_slab_free_word(s, w), before),
                  own_store(&s->free_blocks, count)));
    struct magazine saved = *magazine();
    EXPECT_FOUND(own_store(&magazine()->capacity, 0),
                 "a heap's lists or magazines are inconsistent at ", *magazine() = saved);
    hak_free(p);
    hak_free(q);
    hak_free(other);
}

static void test_slabs(void **state)
{
    (void)state;
    unsigned c = hak_class_of(3 * BLOCK);
    char *p = hak_malloc(3 * SMALL);
    struct heap *h = tls_heap();
    struct slab *s = slab_of(p);
    struct inbox nobody = { { NULL } };
    assert_ptr_equal(h->first[c], s);
    assert_ptr_equal(h->last[c], s);
    uint32_t count = own_load(&s->free_blocks);
    EXPECT_FOUND(own_store(&s->free_blocks, count + 1), "a slab's record contradicts itself at ",
                 own_store(&s->free_blocks, count));
    EXPECT_FOUND((h->first[c] = NULL, h->last[c] = NULL), "a slab is lost from its list at ",
                 (h->first[c] = s, h->last[c] = s));
    EXPECT_FOUND(s->prev = s, "a heap's lists or magazines are inconsistent at ", s->prev = NULL);
    EXPECT_FOUND((s->place = PLACE_FULL, h->first[c] = NULL, h->last[c] = NULL),
                 "a slab is not in the list where it belongs at ",
                 (s->place = PLACE_PARTIAL, h->first[c] = s, h->last[c] = s));
    EXPECT_FOUND((s->place = PLACE_FULL, h->first[c] = NULL, h->last[c] = NULL,
                  init_cell(&s->owner, &nobody)),
                 "a slab has no owner at ",
                 (s->place = PLACE_PARTIAL, h->first[c] = s, h->last[c] = s,
                  init_cell(&s->owner, &h->inbox)));
    hak_free(p);
}

// What the remote protocol must never leave behind.
static void test_remote(void **state)
{
    (void)state;
    char *p = hak_malloc(3 * SMALL);
    struct heap *h = tls_heap();
    struct slab *s = slab_of(p);
    uint32_t index = hak_slab_index(s, p);
    uint64_t bit = (uint64_t)1 << index % 64;
    EXPECT_FOUND(hak_remote_mark(s, index / 64, bit), "a remote free was not notified at ",
                 init_cell(hak_slab_remote_word(s, index / 64), 0));
    EXPECT_FOUND((void)hak_remote_try_hold(s), "a slab's token is taken, but it is in no inbox at ",
                 init_cell(&s->pending, 0));
    struct inbox stranger = { { NULL } };
    EXPECT_FOUND((init_cell(&h->inbox.head, s), init_cell(&s->owner, &stranger)),
                 "a heap's lists or magazines are inconsistent at ",
                 (init_cell(&h->inbox.head, NULL), init_cell(&s->owner, &h->inbox)));
    // And what it may: a free that is on its way.
    hak_remote_mark(s, index / 64, bit);
    hak_remote_notify(s);
    struct hak_audit_report report;
    assert_true(hak_audit(&report));
    assert_int_equal(report.remote, 1);
    assert_int_equal(hak_heap_drain(h), 1);
    expect_healthy();
}

static void test_units(void **state)
{
    (void)state;
    void *p = hak_malloc(SMALL);
    uint32_t superslab = hak_unit_of(p) / SUPERSLAB_UNITS;
    struct atomic_u64 *cell = &hak_arena.masks[superslab];
    uint64_t word = hak_superslab_word(superslab);
    uint32_t available = hak_mask_empty(word) | hak_mask_unused(word);
    assert_true(available != 0);
    unsigned i = lowest_bit(available);
    uint32_t unit = superslab * SUPERSLAB_UNITS + i;
    uint64_t both = (uint64_t)1 << i | (uint64_t)1 << (32 + i);
    EXPECT_FOUND(init_cell(cell, word | both), "units are both EMPTY and UNUSED at ",
                 init_cell(cell, word));
    EXPECT_FOUND(init_cell(cell, word & ~both), "a unit belongs to nothing at ",
                 init_cell(cell, word));
    EXPECT_FOUND(hak_set_tags(unit, 1, 5), "a free unit has a tag or a record at ",
                 hak_set_tags(unit, 1, TAG_NONE));
    EXPECT_FOUND(own_store(&hak_slab_at(unit)->state, SLAB_LARGE),
                 "a free unit has a tag or a record at ",
                 own_store(&hak_slab_at(unit)->state, SLAB_NONE));
    struct atomic_u64 *hints = hak_superslab_hint(superslab, false), saved = *hints;
    EXPECT_FOUND(init_cell(hints, 0), "free units have no hint at ", *hints = saved);
    hak_free(p);
}

static void test_large(void **state)
{
    (void)state;
    void *p = hak_malloc(CLASS_SIZE_MAX + 1);
    struct slab *s = hak_large_record(p);
    size_t bytes = own_load(&s->bytes);
    EXPECT_FOUND(own_store(&s->bytes, bytes + LARGE_SIZE_MAX),
                 "a large block's record contradicts itself at ", own_store(&s->bytes, bytes));
    EXPECT_FOUND(own_store(&s->state, 77), "a record's state is impossible at ",
                 own_store(&s->state, SLAB_LARGE));
    struct recent *recent = &tls_heap()->recent;
    uint32_t unit = recent->unit[recent->count];
    recent->unit[recent->count] = hak_slab_unit(s); // handed out, and kept
    EXPECT_FOUND(recent->count++, "a kept run is none, of another length, or handed out at ",
                 recent->count--);
    recent->unit[recent->count] = unit;
    EXPECT_FOUND(tls_heap()->class_offset[3] ^= 8,
                 "a heap's lists or magazines are inconsistent at ",
                 tls_heap()->class_offset[3] ^= 8);
    struct size_class c = hak_classes[3];
    if (!MITIGATE_SEAL)
        EXPECT_FOUND(hak_classes[3].units = SUPERSLAB_UNITS + 1,
                     "the table of size classes is wrong at ", hak_classes[3] = c);
    struct own_u64 *count = &tls_heap()->counters.large;
    EXPECT_FOUND(hak_count(count, 1), "large or huge blocks are miscounted at ",
                 hak_count(count, (uint64_t)-1));
    hak_free(p);
}

// ---- no memory for the audit itself ----

static bool refuse_reserve, refuse_commit;

void *__real_hak_os_reserve(size_t bytes, size_t align);
void *__wrap_hak_os_reserve(size_t bytes, size_t align);
bool __real_hak_os_commit(void *p, size_t bytes);
bool __wrap_hak_os_commit(void *p, size_t bytes);

void *__wrap_hak_os_reserve(size_t bytes, size_t align)
{
    return refuse_reserve ? NULL : __real_hak_os_reserve(bytes, align);
}

bool __wrap_hak_os_commit(void *p, size_t bytes)
{
    return !refuse_commit && __real_hak_os_commit(p, bytes);
}

static void test_no_memory(void **state)
{
    (void)state;
    EXPECT_FOUND(refuse_reserve = true, "no scratch memory for the audit at ",
                 refuse_reserve = false);
    EXPECT_FOUND(refuse_commit = true, "no scratch memory for the audit at ",
                 refuse_commit = false);
}

static int start(void **state)
{
    (void)state;
    setenv("HAKMEM_OPTIONS", "arena_mib=64,purge_delay_ms=3600000", 1);
    struct hak_audit_report report;
    return hak_audit(&report) ? 0 : -1; // before the first call there is nothing wrong
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums),      cmocka_unit_test(test_slabs),
        cmocka_unit_test(test_remote),    cmocka_unit_test(test_units),
        cmocka_unit_test(test_magazines), cmocka_unit_test(test_large),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}

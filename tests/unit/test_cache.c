// test_cache.c: when magazines grow, what they may hold together, and what they give back.
#include "support.h"

#include <stdlib.h>

#include <seam/os.h>
#include <seam/sanitizer.h>

#include "cache.h"
#include "hakmem.h"
#include "heaps.h"

enum { BLOCKS = 40000 };
static struct heap *heap;
static void *live[BLOCKS];
static unsigned live_count;

static int start(void **state)
{
    (void)state;
    void *p = hak_malloc(1); // sets up the process
    hak_free(p);
    heap = hak_heaps_borrow();
    return heap == NULL;
}

static struct magazine *magazine(unsigned class_index)
{
    return &heap->magazines[class_index];
}

static uint32_t capacity(unsigned class_index)
{
    return own_load(&magazine(class_index)->capacity);
}

// As malloc and free do it.
static void take(unsigned class_index)
{
    bool zero;
    void *p = hak_magazine_pop(magazine(class_index));
    if (p == NULL && hak_cache_grow(heap, class_index))
        p = hak_heap_refill(heap, class_index, POOL_ANY, &zero);
    assert_non_null(p);
    live[live_count++] = p;
}

static void give(unsigned class_index)
{
    void *p = live[--live_count];
    if (hak_magazine_push(magazine(class_index), p))
        return;
    if (!hak_cache_make_room(heap, class_index) || !hak_magazine_push(magazine(class_index), p))
        hak_heap_free_one(heap, class_index, p);
}

// A swing of so many blocks, so often.
static void swing(unsigned class_index, unsigned blocks, unsigned times)
{
    while (times-- != 0) {
        for (unsigned i = 0; i < blocks; i++)
            take(class_index);
        for (unsigned i = 0; i < blocks; i++)
            give(class_index);
    }
}

// What the capacities say that is granted.
static void check_room(void)
{
    size_t granted = 0;
    for (unsigned c = CLASS_FIRST; c <= CLASS_LAST; c++) {
        uint32_t sure = hak_classes[c].cache_sure, now = capacity(c);
        granted += now > sure ? (now - sure) * hak_class_bytes(c) : 0;
        assert_true(now <= hak_classes[c].cache_max);
        assert_true(hak_class_bytes(c) <= UNIT_SIZE / 2 || now == 0 || c == heap->room.favoured);
    }
    assert_int_equal(heap->room.granted, granted);
    assert_true(granted <= hak_class_table.cache_total);
    assert_true(hak_heap_ok(heap));
}

static int clear(void **state)
{
    (void)state;
    for (; live_count != 0; live_count--)
        hak_heap_free_one(heap, hak_tag_of(live[live_count - 1]), live[live_count - 1]);
    hak_heap_flush_all(heap);
    hak_cache_restart(heap);
    check_room();
    assert_int_equal(heap->room.granted, 0);
    assert_int_equal(heap->room.favoured, 0);
    for (unsigned c = CLASS_FIRST; c <= CLASS_LAST; c++)
        assert_true(capacity(c) <= MAGAZINE_BLOCKS_START);
    return 0;
}

// A thread that only allocates, or only frees, has no use for more than is sure.
static void test_one_way(void **state)
{
    (void)state;
    for (unsigned c = CLASS_FIRST; hak_class_bytes(c) <= UNIT_SIZE / 2; c++) {
        unsigned blocks = 3 * hak_classes[c].cache_max;
        for (unsigned i = 0; i < blocks; i++)
            take(c);
        assert_int_equal(capacity(c), hak_classes[c].cache_sure);
        unsigned grown = 0; // at the turn alone
        for (uint32_t before; live_count != 0; grown += capacity(c) != before) {
            before = capacity(c);
            give(c);
        }
        assert_true(grown <= 1);
        check_room();
        clear(state);
    }
}

// One whose live blocks come and go gets what the swing needs, within its limit.
static void test_turns(void **state)
{
    (void)state;
    unsigned c = hak_class_of(64);
    swing(c, SMALL_OR(2u, 960u), 40);
    check_room();
    assert_int_equal(capacity(c), hak_classes[c].cache_max);
    // Then neither refills nor flushes are needed any more.
    const struct class_counters *n = hak_heap_counts(heap, c);
    uint64_t moved = own_load(&n->refilled) + own_load(&n->flushed);
    swing(c, SMALL_OR(2u, 960u), 20);
    assert_int_equal(own_load(&n->refilled) + own_load(&n->flushed), moved);
}

// All classes together stay within the bound, and one that works gets capacity from others.
static void test_together(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 3; round++)
        for (unsigned c = CLASS_FIRST; hak_class_bytes(c) <= UNIT_SIZE / 2; c++) {
            swing(c, 2 * hak_classes[c].cache_max, 12);
            check_room();
            assert_true(capacity(c) > hak_classes[c].cache_sure ||
                        hak_classes[c].cache_max == hak_classes[c].cache_sure);
        }
}

// Of large blocks one class is cached: the one that was asked for last.
static void test_favoured(void **state)
{
    (void)state;
    unsigned c = hak_class_of(UNIT_SIZE / 2 + 1), d = CLASS_LAST;
    swing(c, hak_classes[c].cache_max + 1, 2);
    assert_int_equal(heap->room.favoured, c);
    assert_int_equal(capacity(c), hak_classes[c].cache_max);
    // Where an empty slab of the class stays, the last free may have made room in the magazine.
    assert_in_range(hak_magazine_count(magazine(c)),
                    hak_classes[c].cache_max - (hak_class_bytes(c) <= KEPT_SIZE_MAX),
                    hak_classes[c].cache_max);
    take(d);
    assert_int_equal(heap->room.favoured, d);
    assert_int_equal(hak_magazine_count(magazine(c)), 0);
    assert_int_equal(capacity(c), 0);
    check_room();
}

// What is not refilled decays, capacities too.
static void test_trim(void **state)
{
    (void)state;
    unsigned c = hak_class_of(32);
    swing(c, MAGAZINE_BLOCKS_MAX, 20);
    uint32_t before = capacity(c);
    assert_true(before > hak_classes[c].cache_sure || SMALL_OR(true, false));
    hak_cache_trim(heap); // refilled since the last
    assert_int_equal(capacity(c), before);
    for (unsigned i = 0; i < 12; i++) {
        hak_cache_trim(heap);
        check_room();
    }
    assert_int_equal(hak_magazine_count(magazine(c)), 0);
    assert_true(capacity(c) <= hak_classes[c].cache_sure);
}

static void test_random(void **state)
{
    (void)state;
    unsigned seed = 3;
    for (unsigned step = 0; step < 300; step++) {
        unsigned r = (unsigned)rand_r(&seed), c = CLASS_FIRST + r % CLASS_COUNT;
        swing(c, 1 + r / 64 % (hak_class_bytes(c) <= 1024 ? 2000 : 20), 1 + r % 3);
        if (r % 17 == 0)
            hak_cache_trim(heap);
        check_room();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_one_way, clear),
        cmocka_unit_test_teardown(test_turns, clear),
        cmocka_unit_test_teardown(test_together, clear),
        cmocka_unit_test_teardown(test_favoured, clear),
        cmocka_unit_test_teardown(test_trim, clear),
        cmocka_unit_test_teardown(test_random, clear),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}

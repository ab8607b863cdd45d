// test_heaps.c: heaps are borrowed by one thread at a time, come back, are swept, and never die.
#define _GNU_SOURCE 1
#include "support.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

// Before the seam, which forbids the raw names from its include on.
static unsigned swap(unsigned *p, unsigned value)
{
    return __atomic_exchange_n(p, value, __ATOMIC_ACQ_REL);
}

#include <seam/os.h>

#include "cache.h"
#include "check.h"
#include "hakmem.h"
#include "heaps.h"
#include "meta.h"
#include "sizeclass.h"

enum { THREADS = 6, ROUNDS = 3000, OWNED_MAX = 64 };

static void start_library(void)
{
    hak_classes_start((size_t)128 << 10);
    assert_true(hak_arena_start(32 * SUPERSLAB_SIZE));
    hak_meta_start();
    hak_superslabs_start();
    hak_pool_start();
    hak_heaps_start();
}

static void test_borrow_return(void **state)
{
    (void)state;
    start_library();
    assert_int_equal(hak_heaps_count(), 0);
    struct heap *a = hak_heaps_borrow(), *b = hak_heaps_borrow();
    assert_true(a != NULL && b != NULL && a != b);
    assert_true(hak_heap_is_real(a) && hak_heap_ok(a));
    assert_int_equal(hak_heaps_count(), 2);
    assert_int_equal(hak_heaps_idle(), 0);
    assert_ptr_equal(hak_heaps_at(0), a);
    assert_ptr_equal(hak_heaps_at(1), b);
    hak_heaps_return(a);
    assert_int_equal(hak_heaps_idle(), 1);
    assert_ptr_equal(hak_heaps_borrow(), a);
    hak_heaps_return(a);
    hak_heaps_return(b);
    struct heap *c = hak_heaps_borrow(), *d = hak_heaps_borrow();
    assert_true(c != d && (c == a || c == b) && (d == a || d == b));
    assert_int_equal(hak_heaps_count(), 2);
    assert_int_equal(hak_heaps_idle(), 0);
}

static void test_exhaustion(void **state)
{
    (void)state;
    start_library();
    uint32_t n = 0;
    struct heap *last = NULL;
    for (struct heap *h; (h = hak_heaps_borrow()) != NULL; n++)
        last = h;
    assert_true(n >= 2 && n <= HEAPS_MAX);
    assert_int_equal(hak_heaps_count(), n);
    assert_null(hak_heaps_borrow());
    hak_heaps_return(last);
    assert_ptr_equal(hak_heaps_borrow(), last);
}

static void *take(struct heap *h, unsigned class_index)
{
    bool zero;
    void *p = hak_magazine_pop(&h->magazines[class_index]);
    if (p == NULL && hak_cache_grow(h, class_index))
        p = hak_heap_refill(h, class_index, POOL_ANY, &zero);
    assert_non_null(p);
    return p;
}

// An idle heap's slabs: adopted by who needs the class; what is empty goes to the pool.
static void test_sweep(void **state)
{
    (void)state;
    start_library();
    unsigned wanted = hak_class_of(64), other = hak_class_of(256);
    struct heap *mine = hak_heaps_borrow(), *idle = hak_heaps_borrow();
    assert_false(hak_heaps_sweep(mine, wanted, HEAPS_MAX)); // nobody is idle
    void *p = take(idle, wanted), *q = take(idle, other);
    struct slab *s = hak_slab_of_unit(hak_unit_of(p));
    hak_heaps_return(idle);
    assert_true(hak_remote_is_owner(s, &idle->inbox));
    assert_true(hak_heaps_sweep(mine, wanted, HEAPS_MAX));
    assert_true(hak_remote_is_owner(s, &mine->inbox));
    assert_ptr_equal(mine->first[wanted], s);
    assert_true(hak_heap_ok(mine) && hak_heap_ok(idle));
    assert_true(hak_remote_is_owner(hak_slab_of_unit(hak_unit_of(q)), &idle->inbox));
    // An idle heap's last block of a slab is freed by another thread: a sweep gives the slab back.
    hak_heap_free_one(mine, other, q);
    assert_true(hak_heaps_sweep(mine, TAG_NONE, HEAPS_MAX));
    assert_int_equal(hak_tag_of(q), TAG_NONE);
    assert_int_equal(hak_heaps_idle(), 1);
    assert_ptr_equal(hak_heaps_borrow(), idle);
}

// A slab that waits in its owner's inbox is not adopted.
static void test_sweep_of_notified(void **state)
{
    (void)state;
    start_library();
    unsigned class_index = hak_class_of(64);
    struct heap *mine = hak_heaps_borrow(), *idle = hak_heaps_borrow();
    struct slab *s = hak_slab_of_unit(hak_unit_of(take(idle, class_index)));
    hak_remote_notify(s);
    assert_int_equal(hak_heap_adopt(mine, idle, class_index, 1), 0);
    assert_true(hak_remote_is_owner(s, &idle->inbox));
    hak_heap_drain(idle);
    assert_int_equal(hak_heap_adopt(mine, idle, class_index, 1), 1);
    assert_true(hak_remote_is_owner(s, &mine->inbox));
    assert_true(hak_heap_ok(mine) && hak_heap_ok(idle));
}

// A heap that somebody sweeps stays where it is, on top or not: the borrower gets another.
static void test_borrow_beside_sweeper(void **state)
{
    (void)state;
    start_library();
    struct heap *a = hak_heaps_borrow(), *b = hak_heaps_borrow();
    hak_heaps_return(a);
    hak_heaps_return(b);
    init_cell(&b->state, HEAP_SWEPT);
    assert_ptr_equal(hak_heaps_borrow(), a);
    assert_int_equal(hak_heaps_idle(), 1);
    struct heap *c = hak_heaps_borrow();
    assert_true(c != a && c != b);
    init_cell(&b->state, HEAP_IDLE);
    assert_ptr_equal(hak_heaps_borrow(), b);
    assert_int_equal(hak_heaps_idle(), 0);
    assert_int_equal(hak_heaps_count(), 3);
}

// In the child of a fork all heaps but the caller's belong to nobody, with what they cache.
static void test_after_fork(void **state)
{
    (void)state;
    start_library();
    unsigned class_index = hak_class_of(64);
    struct heap *mine = hak_heaps_borrow(), *gone = hak_heaps_borrow();
    void *p = take(gone, class_index);
    struct slab *s = hak_slab_of_unit(hak_unit_of(p));
    assert_true(hak_magazine_push(&gone->magazines[class_index], take(gone, class_index)));
    hak_heaps_after_fork(mine, true);
    assert_int_equal(hak_heaps_idle(), 1);
    hak_heap_free_one(mine, class_index, p);
    assert_true(hak_heaps_sweep(mine, TAG_NONE, HEAPS_MAX)); // its magazines are flushed, too
    assert_int_equal(hak_magazine_count(&gone->magazines[class_index]), 0);
    assert_int_equal(own_load(&s->state), SLAB_NONE);
    assert_ptr_equal(hak_heaps_borrow(), gone);
}

// ---- threads ----

static unsigned busy[OWNED_MAX]; // by index of the heap: a thread has it

static uint32_t index_of(const struct heap *h)
{
    uint32_t i = 0;
    while (hak_heaps_at(i) != h)
        i++;
    return i;
}

static void *borrow_and_return(void *argument)
{
    unsigned seed = (unsigned)(uintptr_t)argument;
    unsigned class_index = hak_class_of(64);
    for (int round = 0; round < ROUNDS; round++) {
        struct heap *h = hak_heaps_borrow();
        if (h == NULL)
            hak_assert_failed("there is a heap", __FILE__, __LINE__);
        uint32_t i = index_of(h);
        if (i >= OWNED_MAX || swap(&busy[i], 1) != 0)
            hak_assert_failed("a heap has one owner", __FILE__, __LINE__);
        bool zero;
        void *p = hak_magazine_pop(&h->magazines[class_index]);
        if (p == NULL && hak_cache_grow(h, class_index))
            p = hak_heap_refill(h, class_index, POOL_ANY, &zero);
        if (p != NULL)
            hak_heap_free_one(h, class_index, p);
        if (rand_r(&seed) % 4 == 0)
            hak_heaps_sweep(h, class_index, 2);
        swap(&busy[i], 0);
        hak_heaps_return(h);
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    start_library();
    pthread_t thread[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, borrow_and_return, (void *)i), 0);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    uint32_t count = hak_heaps_count();
    // One per thread, and one more for each that a sweeper held at the wrong moment.
    assert_true(count >= 1 && count <= 2 * THREADS);
    assert_int_equal(hak_heaps_idle(), count);
    struct heap *mine = hak_heaps_borrow();
    hak_heaps_sweep(mine, TAG_NONE, HEAPS_MAX);
    hak_heap_flush_all(mine);
    for (uint32_t i = 0; i < count; i++)
        assert_true(hak_heap_ok(hak_heaps_at(i)));
    hak_pool_purge(os_clock_ms() + 1000, 0, SIZE_MAX);
    assert_int_equal(hak_superslab_bytes_committed(), 0); // no slab was lost
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_borrow_return),
        cmocka_unit_test(test_exhaustion),
        cmocka_unit_test(test_sweep),
        cmocka_unit_test(test_after_fork),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_borrow_beside_sweeper),
        cmocka_unit_test(test_sweep_of_notified),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// test_damage.c: what damaged records and lists, or pointers that no block has, come to: a slow
// path stops the program and says where, and does not follow them.
#define _GNU_SOURCE 1
#include "support.h"

#include <stdlib.h>

#include <seam/tls.h>

#include "hakmem.h"
#include "heaps.h"
#include "pool.h"
#include "remote.h"
#include "sizeclass.h"

enum { BYTES = 40 }; // a class whose slabs have a tail, in both geometries

static struct slab *slab_of(const void *p)
{
    return hak_slab_of_unit(hak_unit_of(p));
}

static void expect_fault(void (*body)(const void *), const char *text)
{
    struct capture capture;
    run_in_child(&capture, body, NULL);
    assert_aborted(&capture);
    char start[80] = "hakmem: ";
    strncat(start, text, sizeof start - sizeof "hakmem: ");
    if (strncmp(capture.text, start, strlen(start)) != 0)
        fail_msg("said: %s not: %s", capture.text, start);
}

// A block of a slab that has others; the rest of them wait in the list of the heap.
static char *allocate(void)
{
    char *p = hak_malloc(BYTES), *q = hak_malloc(BYTES);
    CHILD_CHECK(p != NULL && q != NULL && slab_of(p) == slab_of(q));
    return p;
}

static void damage_link(const void *unused)
{
    (void)unused;
    char *p = allocate();
    struct slab *s = slab_of(p);
    unsigned class_index = own_load(&s->class_index);
    tls_heap()->first[class_index] = s;
    tls_heap()->last[class_index] = s;
    s->place = PLACE_PARTIAL;
    s->prev = s;                      // its neighbour does not say so
    while (hak_malloc(BYTES) != NULL) // until it is full, and leaves the list
        ;
    _exit(2);
}

static void free_behind_the_last(const void *unused)
{
    (void)unused;
    char *p = allocate();
    struct slab *s = slab_of(p);
    size_t bytes = hak_class_bytes(own_load(&s->class_index));
    size_t tail = own_load(&s->units) * UNIT_SIZE - own_load(&s->blocks) * bytes;
    CHILD_CHECK(tail >= MALLOC_ALIGN);
    hak_free(hak_slab_base(s) + own_load(&s->blocks) * bytes);
    hak_thread_flush();
    _exit(2);
}

static void promise_too_many(const void *unused)
{
    (void)unused;
    char *p = allocate();
    struct slab *s = slab_of(p);
    for (unsigned w = 0; w < hak_slab_words(s); w++)
        own_store(hak_slab_free_word(s, w), 0);
    own_store(&s->free_blocks, 5);
    void *out[5];
    (void)hak_slab_take(s, out, 5);
    _exit(2);
}

static void begin_on_a_tag(const void *unused)
{
    (void)unused;
    hak_free(hak_malloc(1));
    struct run r;
    CHILD_CHECK(hak_pool_acquire(1, 1, 1, POOL_ANY, &r) != POOL_NONE);
    hak_set_tags(r.unit, 1, CLASS_FIRST);
    hak_slab_begin(hak_slab_at(r.unit), CLASS_FIRST, 1, false);
    _exit(2);
}

static void begin_on_a_mark(const void *unused)
{
    (void)unused;
    hak_free(hak_malloc(1));
    struct run r;
    CHILD_CHECK(hak_pool_acquire(1, 1, 1, POOL_ANY, &r) != POOL_NONE);
    struct slab *s = hak_slab_at(r.unit);
    (void)hak_remote_mark(s, 0, 1); // a second free that comes after the end of a life
    hak_slab_begin(s, CLASS_FIRST, 1, false);
    hak_remote_begin(s, &tls_heap()->inbox);
    _exit(2);
}

static void test_records(void **state)
{
    (void)state;
    expect_fault(damage_link, "corrupt record for 0x");
    expect_fault(promise_too_many, "corrupt record for 0x");
    expect_fault(begin_on_a_tag, "corrupt record for 0x");
    expect_fault(begin_on_a_mark, "free of never allocated 0x");
}

static void test_tail(void **state)
{
    (void)state;
    expect_fault(free_behind_the_last, "invalid free of 0x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_tail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// test_quarantine.c: each block that goes in comes out once, not at once, in an order that is not
// that of the frees; the bytes inside are bounded.
#define _GNU_SOURCE 1
#include "support.h"

#include "quarantine.h"
#include "slab.h"
#include "superslab.h"

static struct quarantine quarantine;
static struct random_source generator;
static unsigned char seen[SLAB_BLOCKS_MAX];

static int start(void **state)
{
    (void)state;
    hak_classes_start((size_t)128 << 10);
    if (!hak_arena_start(4 * SUPERSLAB_SIZE))
        return -1;
    hak_superslabs_start();
    uint32_t unit;
    return hak_superslab_begin(1, SUPERSLAB_UNITS, UINT32_MAX, &unit) ? 0 : -1;
}

static struct slab *begin(unsigned class_index, uint32_t units)
{
    struct slab *s = hak_slab_at(0);
    if (own_load(&s->state) == SLAB_ACTIVE)
        hak_slab_end(s);
    hak_slab_begin(s, class_index, units, true);
    memset(&quarantine, 0, sizeof quarantine);
    memset(seen, 0, sizeof seen);
    return s;
}

static char *block(const struct slab *s, uint32_t i)
{
    return hak_slab_base(s) + (size_t)i * hak_class_bytes(own_load(&s->class_index));
}

static uint64_t bytes_inside(void)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < QUARANTINE_BLOCKS_MAX; i++) {
        const void *p = hak_quarantine_at(&quarantine, i);
        bytes += p != NULL ? hak_class_bytes(hak_tag_of(p)) : 0;
    }
    assert_int_equal(bytes, own_load(&quarantine.bytes));
    return bytes;
}

static void note(const struct slab *s, const void *p)
{
    uint32_t index = hak_slab_index(s, p);
    assert_true(index != UINT32_MAX && !seen[index]);
    seen[index] = 1;
}

static void run_class(unsigned class_index, uint32_t units)
{
    struct slab *s = begin(class_index, units);
    uint32_t blocks = own_load(&s->blocks);
    uint32_t came_out = 0, in_order = 0;
    for (uint32_t i = 0; i < blocks; i++) {
        void *p = hak_quarantine_add(&quarantine, &generator, block(s, i),
                                     hak_class_bytes(class_index));
        for (p = p != NULL ? p : hak_quarantine_due(&quarantine); p != NULL;
             p = hak_quarantine_due(&quarantine), came_out++) {
            assert_ptr_not_equal(p, block(s, i));
            in_order += p == block(s, came_out);
            note(s, p);
        }
        assert_true(bytes_inside() <= QUARANTINE_BYTES_MAX);
    }
    for (void *p; (p = hak_quarantine_take(&quarantine)) != NULL; came_out++)
        note(s, p);
    assert_int_equal(came_out, blocks);
    assert_int_equal(own_load(&quarantine.bytes), 0);
    if (class_index == CLASS_FIRST)
        assert_true(in_order < blocks / 4);
}

static void test_small(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 10; round++)
        run_class(CLASS_FIRST, 1);
}

static void test_heavy(void **state)
{
    (void)state;
    for (unsigned c = CLASS_LAST - 8; c <= CLASS_LAST; c++)
        run_class(c, SUPERSLAB_UNITS);
}

// A slab ends when all of its blocks were freed: one that still waits was freed twice.
static void end_under_a_block(const void *unused)
{
    (void)unused;
    struct slab *s = hak_slab_at(0);
    hak_set_tags(0, 1, CLASS_FIRST);
    while (hak_quarantine_take(&quarantine) != NULL)
        ;
    (void)hak_quarantine_add(&quarantine, &generator, hak_slab_base(s),
                             hak_class_bytes(CLASS_FIRST));
    hak_set_tags(0, 1, TAG_NONE);
    (void)hak_quarantine_take(&quarantine);
}

static void test_ended(void **state)
{
    (void)state;
    struct capture capture;
    run_in_child(&capture, end_under_a_block, NULL);
    assert_aborted(&capture);
    assert_non_null(strstr(capture.text, "hakmem: double free of 0x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small),
        cmocka_unit_test(test_heavy),
        cmocka_unit_test(test_ended),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}

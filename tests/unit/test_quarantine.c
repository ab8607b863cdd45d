// test_quarantine.c: each block that goes in comes out once, not at once, in an order that is not
// that of the frees.
#define _GNU_SOURCE 1
#include "support.h"

#include "hakmem.h"
#include "pool.h"
#include "quarantine.h"
#include "random.h"
#include "slab.h"

static struct quarantine quarantine;
static struct random_source generator;
static unsigned char seen[SLAB_BLOCKS_MAX];

// A slab of its own: this test's allocator has no other blocks of the class.
static struct slab *begin(unsigned class_index, uint32_t units)
{
    struct run r;
    hak_free(hak_malloc(1));
    assert_int_not_equal(hak_pool_acquire(units, units, 1, POOL_EXHAUSTIVE, &r), POOL_NONE);
    struct slab *s = hak_slab_at(r.unit);
    hak_slab_begin(s, class_index, units, true);
    memset(&quarantine, 0, sizeof quarantine);
    memset(seen, 0, sizeof seen);
    return s;
}

static char *block(const struct slab *s, uint32_t i)
{
    return hak_slab_base(s) + (size_t)i * hak_class_bytes(own_load(&s->class_index));
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
        void *p = hak_quarantine_add(&quarantine, hak_random_bits(&generator, QUARANTINE_BITS),
                                     block(s, i));
        assert_ptr_not_equal(p, block(s, i));
        if (p == NULL)
            continue;
        in_order += p == block(s, came_out++);
        note(s, p);
    }
    // The latest stays to the end.
    const void *latest = block(s, blocks - 1);
    for (void *p; (p = hak_quarantine_take(&quarantine, latest)) != NULL; came_out++) {
        assert_ptr_not_equal(p, latest);
        note(s, p);
    }
    assert_ptr_equal(hak_quarantine_take(&quarantine, NULL), latest);
    note(s, latest);
    came_out++;
    assert_null(hak_quarantine_take(&quarantine, NULL));
    assert_int_equal(came_out, blocks);
    if (class_index == CLASS_FIRST)
        assert_true(in_order < blocks / 4);
}

static void test_small(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 10; round++)
        run_class(CLASS_FIRST, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

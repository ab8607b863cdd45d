// test_sizeclass.c: the class map for every size, both ways; slab lengths; the division by blocks.
#include "support.h"

#include "sizeclass.h"

enum { CACHE_BYTES = 128 << 10 };

// Independent of the code: sizes in steps of 16, then four steps per doubling.
static size_t expected_sizes[CLASS_COUNT + 1];

static void list_sizes(void)
{
    unsigned n = 0;
    for (size_t size = 16; size <= CLASS_LINEAR_MAX; size += 16)
        expected_sizes[++n] = size;
    for (size_t base = CLASS_LINEAR_MAX; base < CLASS_SIZE_MAX; base *= 2)
        for (unsigned step = 1; step <= CLASSES_PER_DOUBLING; step++)
            expected_sizes[++n] = base + step * base / CLASSES_PER_DOUBLING;
    assert_int_equal(n, CLASS_COUNT);
}

static void test_every_size(void **state)
{
    (void)state;
    unsigned smallest = CLASS_FIRST; // class that holds n
    for (size_t n = 0; n <= CLASS_SIZE_MAX; n++) {
        if (n > expected_sizes[smallest])
            smallest++;
        if (hak_class_of(n) != smallest)
            fail_msg("%zu bytes: class %u, not %u", n, hak_class_of(n), smallest);
    }
    assert_int_equal(smallest, CLASS_LAST);
    assert_true(hak_classes_ok());
}

static void test_every_class(void **state)
{
    (void)state;
    for (unsigned i = CLASS_FIRST; i <= CLASS_LAST; i++) {
        size_t bytes = hak_class_bytes(i);
        assert_int_equal(bytes, expected_sizes[i]);
        assert_int_equal(bytes % MALLOC_ALIGN, 0);
        assert_int_equal(hak_class_of(bytes), i);
        assert_int_equal(hak_class_of(bytes - 1), i);
    }
    assert_int_equal(hak_class_bytes(CLASS_LAST), CLASS_SIZE_MAX);
}

// The consistency check notices a table that is wrong in any field it looks at.
static void test_ok_sees(void **state)
{
    (void)state;
    for (unsigned i = CLASS_FIRST; i <= CLASS_LAST; i++) {
        struct size_class saved = hak_classes[i];
        hak_classes[i].block_bytes += 16;
        assert_false(hak_classes_ok());
        hak_classes[i] = saved;
        hak_classes[i].units = SUPERSLAB_UNITS + 1;
        assert_false(hak_classes_ok());
        hak_classes[i] = saved;
        hak_classes[i].units = hak_classes[i].units_min - 1;
        assert_false(hak_classes_ok());
        hak_classes[i] = saved;
    }
    assert_true(hak_classes_ok());
}

static void test_slab_lengths(void **state)
{
    (void)state;
    for (unsigned i = CLASS_FIRST; i <= CLASS_LAST; i++) {
        const struct size_class *c = &hak_classes[i];
        size_t blocks = c->units * UNIT_SIZE / c->block_bytes;
        assert_true(c->units >= 1 && c->units <= SUPERSLAB_UNITS);
        assert_true(c->units_min * UNIT_SIZE >= c->block_bytes);
        assert_true((c->units_min - 1) * UNIT_SIZE < c->block_bytes);
        assert_true(c->units >= c->units_min);
        assert_true(blocks >= 1 && blocks <= SLAB_BLOCKS_MAX);
        if (c->block_bytes >= ZERO_TRACKED_MIN)
            assert_true(blocks <= 64); // one word of `touched`
    }
}

// Committed bytes beyond what was asked for: at most a quarter, for every size from 64 bytes.
static void test_waste(void **state)
{
    (void)state;
    for (size_t n = 64; n <= CLASS_SIZE_MAX; n++) {
        const struct size_class *c = &hak_classes[hak_class_of(n)];
        size_t slab_bytes = c->units * UNIT_SIZE;
        size_t used = slab_bytes / c->block_bytes * n;
        if ((slab_bytes - used) * 4 > slab_bytes)
            fail_msg("%zu bytes: %zu of a slab of %zu are wasted", n, slab_bytes - used,
                     slab_bytes);
    }
}

// No shorter slab is within that bound; packed ones are longer, and have hardly any tail.
static void test_lengths(void **state)
{
    test_waste(state);
    uint32_t roomy[CLASS_COUNT + 1];
    for (unsigned i = CLASS_FIRST; i <= CLASS_LAST; i++) {
        roomy[i] = hak_classes[i].units;
        size_t bytes = hak_classes[i].block_bytes, blocks = (roomy[i] - 1) * UNIT_SIZE / bytes;
        size_t smallest = bytes <= 64 ? bytes : hak_class_size(i - 1) + 1;
        assert_true(roomy[i] == 1 || blocks < SLAB_BLOCKS_WANTED ||
                    blocks * smallest * 4 < (roomy[i] - 1) * UNIT_SIZE * 3);
    }
    hak_classes_pack();
    test_waste(state);
    for (unsigned i = CLASS_FIRST; i <= CLASS_LAST; i++) {
        size_t slab_bytes = hak_classes[i].units * UNIT_SIZE;
        assert_true(hak_classes[i].units >= roomy[i]);
        assert_true(slab_bytes % hak_classes[i].block_bytes <= slab_bytes / 16);
    }
    hak_classes_start(CACHE_BYTES);
}

// The multiplication against the division: every offset in the longest slab.
static void test_index(void **state)
{
    (void)state;
    for (unsigned i = CLASS_FIRST; i <= CLASS_LAST; i++) {
        const struct size_class *c = &hak_classes[i];
        unsigned index = 0;
        size_t next = c->block_bytes;
        for (size_t offset = 0; offset < SUPERSLAB_SIZE; offset++) {
            if (offset == next) {
                index++;
                next += c->block_bytes;
            }
            if (hak_class_index(c, offset) != index)
                fail_msg("class %u, offset %zu: %u", i, offset, hak_class_index(c, offset));
        }
    }
}

static unsigned expected_aligned(size_t n, size_t align)
{
    for (unsigned i = CLASS_FIRST; i <= CLASS_LAST && align <= UNIT_SIZE; i++)
        if (expected_sizes[i] >= n && expected_sizes[i] % align == 0)
            return i;
    return 0;
}

static void test_aligned(void **state)
{
    (void)state;
    for (size_t align = 1; align <= 2 * UNIT_SIZE; align *= 2)
        for (size_t n = 0; n <= CLASS_SIZE_MAX + 17; n += n < 4200 ? 1 : 13)
            if (hak_class_aligned(n, align) != expected_aligned(n, align))
                fail_msg("%zu bytes at %zu: class %u", n, align, hak_class_aligned(n, align));
    assert_int_equal(hak_class_aligned(CLASS_SIZE_MAX, UNIT_SIZE), CLASS_LAST);
    assert_int_equal(hak_class_aligned(SIZE_MAX, 16), 0);
    assert_int_equal(hak_class_aligned(1, (size_t)1 << 63), 0);
}

// Magazines: 2^k - 1 blocks, the most that fit into the bound, and never less than the sure ones.
static void test_caches(void **state)
{
    (void)state;
    for (size_t bound = 1024; bound <= (size_t)64 << 20; bound *= 4) {
        hak_classes_start(bound);
        for (unsigned i = CLASS_FIRST; i <= CLASS_LAST; i++) {
            size_t blocks = hak_classes[i].cache_max, bytes = hak_classes[i].block_bytes;
            size_t sure = hak_classes[i].cache_sure;
            size_t least = bytes <= UNIT_SIZE / 2 ? MAGAZINE_BLOCKS_LEAST : 1;
            assert_true(blocks >= least && blocks <= MAGAZINE_BLOCKS_MAX);
            assert_true(is_power_of_two(blocks + 1));
            assert_true(blocks == least || blocks * bytes <= bound);
            assert_true(2 * blocks + 1 > MAGAZINE_BLOCKS_MAX || (2 * blocks + 1) * bytes > bound);
            assert_true(is_power_of_two(sure + 1) && sure <= blocks);
            assert_true(sure <= MAGAZINE_BLOCKS_START || sure * bytes <= MAGAZINE_BYTES_SURE ||
                        bytes > UNIT_SIZE / 2);
        }
        assert_int_equal(hak_class_table.cache_total, CACHE_CLASSES * bound);
    }
    hak_classes_start(CACHE_BYTES);
}

static int start(void **state)
{
    (void)state;
    list_sizes();
    hak_classes_start(CACHE_BYTES);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_size), cmocka_unit_test(test_every_class),
        cmocka_unit_test(test_ok_sees),    cmocka_unit_test(test_slab_lengths),
        cmocka_unit_test(test_waste),      cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_index),      cmocka_unit_test(test_aligned),
        cmocka_unit_test(test_caches),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}

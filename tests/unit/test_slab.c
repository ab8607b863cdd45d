// test_slab.c: bitmaps of a slab against one byte per block, in every class and slab length.
#define _GNU_SOURCE 1
#include "support.h"

#include <stdlib.h>

#include <seam/os.h>

#include "one_superslab.h"
#include "random.h"
#include "slab.h"

enum block_state { IN_SLAB = 0, OUT };

static unsigned char model[SLAB_BLOCKS_MAX];
static bool model_touched[SLAB_BLOCKS_MAX];

static uint32_t blocks_of(const struct slab *s)
{
    return own_load(&s->blocks);
}

static struct slab *begin(uint32_t unit, unsigned class_index, uint32_t units, bool zero)
{
    struct slab *s = hak_slab_at(unit);
    hak_slab_begin(s, class_index, units, zero);
    memset(model, IN_SLAB, sizeof model);
    for (unsigned i = 0; i < SLAB_BLOCKS_MAX; i++)
        model_touched[i] = !zero;
    return s;
}

static uint32_t model_free(const struct slab *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < blocks_of(s); i++)
        n += model[i] == IN_SLAB;
    return n;
}

static void compare(const struct slab *s)
{
    assert_int_equal(own_load(&s->free_blocks), model_free(s));
    assert_int_equal(hak_slab_is_empty(s), model_free(s) == blocks_of(s));
    for (uint32_t i = 0; i < blocks_of(s); i++)
        assert_int_equal(own_load(hak_slab_free_word(s, i / 64)) >> i % 64 & 1,
                         model[i] == IN_SLAB);
    assert_true(hak_slab_ok(s));
}

static void *address(const struct slab *s, uint32_t index)
{
    return hak_slab_base(s) + index * hak_class_bytes(own_load(&s->class_index));
}

static void test_begin_end(void **state)
{
    (void)state;
    for (unsigned c = CLASS_FIRST; c <= CLASS_LAST; c++) {
        for (unsigned shorter = 0; shorter < 2; shorter++) {
            uint32_t units = shorter ? hak_classes[c].units_min : hak_classes[c].units;
            uint32_t unit = (SUPERSLAB_UNITS - units) / 2;
            struct slab *s = begin(unit, c, units, true);
            assert_int_equal(blocks_of(s), units * UNIT_SIZE / hak_class_bytes(c));
            assert_int_equal(own_load(&s->state), SLAB_ACTIVE);
            assert_int_equal(hak_slab_unit(s), unit);
            assert_ptr_equal(hak_slab_base(s), hak_unit_base(unit));
            for (uint32_t i = 0; i < units; i++) {
                assert_ptr_equal(hak_slab_of_unit(unit + i), s);
                assert_int_equal(hak_tag_of(hak_unit_base(unit + i)), c);
                assert_int_equal(hak_tag_of(hak_unit_base(unit + i) + UNIT_SIZE - 1), c);
            }
            compare(s);
            hak_slab_end(s);
            assert_int_equal(own_load(&s->state), SLAB_NONE);
            assert_false(hak_slab_ok(s));
            for (uint32_t i = 0; i < SUPERSLAB_UNITS; i++)
                assert_int_equal(hak_tag_of(hak_unit_base(i)), TAG_NONE);
            for (uint32_t i = 0; i < units; i++) // what was there can still be told
                assert_ptr_equal(hak_slab_of_unit(unit + i), s);
            assert_int_equal(own_load(&s->class_index), c);
        }
    }
}

// ---- random operations ----

static void model_take(const struct slab *s, void **out, uint32_t count)
{
    uint32_t last = UINT32_MAX;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = hak_slab_index(s, out[i]);
        assert_true(index < blocks_of(s));
        assert_ptr_equal(out[i], address(s, index));
        assert_int_equal(model[index], IN_SLAB);
        assert_true(index < last); // descending: a stack pops ascending addresses
        last = index;
        model[index] = OUT;
    }
}

static void step_take(struct slab *s, unsigned *seed)
{
    void *out[64];
    uint32_t want = (uint32_t)rand_r(seed) % 65;
    uint32_t there = model_free(s);
    uint32_t count = hak_slab_take(s, out, want);
    assert_int_equal(count, want < there ? want : there);
    uint32_t lowest = 0;
    while (lowest < blocks_of(s) && model[lowest] != IN_SLAB)
        lowest++;
    if (count != 0)
        assert_ptr_equal(out[count - 1], address(s, lowest));
    model_take(s, out, count);
}

static void step_take_tracked(struct slab *s, unsigned *seed)
{
    void *out[64];
    uint32_t want = 1 + (uint32_t)rand_r(seed) % 8;
    uint32_t touched = 0, untouched = 0;
    for (uint32_t i = 0; i < blocks_of(s); i++) {
        touched += model[i] == IN_SLAB && model_touched[i];
        untouched += model[i] == IN_SLAB && !model_touched[i];
    }
    uint32_t count = hak_slab_take_touched(s, out, want);
    assert_int_equal(count, want < touched ? want : touched);
    for (uint32_t i = 0; i < count; i++)
        assert_true(model_touched[hak_slab_index(s, out[i])]);
    model_take(s, out, count);
    void *fresh = hak_slab_take_untouched(s);
    assert_int_equal(fresh != NULL, untouched != 0);
    if (fresh != NULL) {
        assert_false(model_touched[hak_slab_index(s, fresh)]);
        model_touched[hak_slab_index(s, fresh)] = true;
        model_take(s, &fresh, 1);
    }
}

// Gives some blocks of one word; then one of the free ones again, which must change nothing.
static void step_give(struct slab *s, unsigned *seed)
{
    unsigned word = (unsigned)rand_r(seed) % hak_slab_words(s);
    uint64_t bits = 0, there = 0;
    for (unsigned i = 0; i < 64 && word * 64 + i < blocks_of(s); i++) {
        if (model[word * 64 + i] == IN_SLAB)
            there |= (uint64_t)1 << i;
        else if (rand_r(seed) % 3 == 0)
            bits |= (uint64_t)1 << i;
    }
    if (there != 0) {
        uint64_t again = (uint64_t)1 << lowest_bit(there);
        assert_int_equal(hak_slab_give(s, word, bits | again), again);
        compare(s);
    }
    assert_int_equal(hak_slab_give(s, word, bits), 0);
    for (; bits != 0; bits &= bits - 1)
        model[word * 64 + lowest_bit(bits)] = IN_SLAB;
}

static void test_model(void **state)
{
    (void)state;
    unsigned seed = 1;
    for (unsigned c = CLASS_FIRST; c <= CLASS_LAST; c++) {
        bool tracked = hak_class_bytes(c) >= ZERO_TRACKED_MIN;
        for (unsigned life = 0; life < 2; life++) {
            struct slab *s = begin(0, c, hak_classes[c].units, life == 0);
            uint32_t handed = 0;
            for (int step = 0; step < 60; step++) {
                if (rand_r(&seed) % 2 == 0)
                    step_give(s, &seed);
                else if (tracked)
                    step_take_tracked(s, &seed);
                else
                    step_take(s, &seed);
                compare(s);
                assert_true(own_load(&s->handed) >= handed); // only grows
                handed = own_load(&s->handed);
                for (uint32_t i = handed; i < blocks_of(s); i++)
                    assert_int_equal(model[i], IN_SLAB);
            }
            hak_slab_end(s);
        }
    }
}

// All blocks, one after the other: disjoint, inside, aligned to the power of two in their size.
static void test_all_blocks(void **state)
{
    (void)state;
    for (unsigned c = CLASS_FIRST; c <= CLASS_LAST; c++) {
        struct slab *s = begin(1, c, hak_classes[c].units_min, true);
        size_t bytes = hak_class_bytes(c);
        size_t align = min_size(bytes & -bytes, UNIT_SIZE);
        char *end = hak_slab_base(s) + own_load(&s->units) * UNIT_SIZE;
        char *next = hak_slab_base(s);
        for (uint32_t i = 0; i < blocks_of(s); i++) {
            void *p;
            assert_int_equal(hak_slab_take(s, &p, 1), 1);
            assert_ptr_equal(p, next);
            assert_int_equal((uintptr_t)p % align, 0);
            next += bytes;
        }
        assert_true(next <= end && (size_t)(end - next) < bytes);
        void *p;
        assert_int_equal(hak_slab_take(s, &p, 1), 0);
        assert_int_equal(own_load(&s->handed), blocks_of(s));
        hak_slab_end(s);
    }
}

static void test_index(void **state)
{
    (void)state;
    for (unsigned c = CLASS_FIRST; c <= CLASS_LAST; c++) {
        struct slab *s = begin(0, c, hak_classes[c].units, true);
        size_t bytes = hak_class_bytes(c);
        char *base = hak_slab_base(s);
        size_t slab_bytes = own_load(&s->units) * UNIT_SIZE;
        for (size_t offset = 0; offset < slab_bytes; offset += offset < 70000 ? 1 : 997) {
            bool is_start = offset % bytes == 0 && offset / bytes < blocks_of(s);
            uint32_t expected = is_start ? (uint32_t)(offset / bytes) : UINT32_MAX;
            if (hak_slab_index(s, base + offset) != expected)
                fail_msg("class %u, offset %zu: %u", c, offset, hak_slab_index(s, base + offset));
        }
        hak_slab_end(s);
    }
}

// Each word of each unit's bitmaps has a place of its own.
static void test_words(void **state)
{
    (void)state;
    enum { UNITS = 2 * SUPERSLAB_UNITS };
    uint32_t begun;
    assert_true(hak_superslab_begin(1, SUPERSLAB_UNITS, UINT32_MAX, &begun));
    assert_int_equal(begun, SUPERSLAB_UNITS);
    for (uint32_t unit = 0; unit < UNITS; unit++)
        for (unsigned w = 0; w < SLAB_WORDS_MAX; w++) {
            own_store(hak_slab_free_word(hak_slab_at(unit), w), (uint64_t)unit << 32 | w);
            init_cell(hak_slab_remote_word(hak_slab_at(unit), w), ~((uint64_t)unit << 32 | w));
        }
    for (uint32_t unit = 0; unit < UNITS; unit++)
        for (unsigned w = 0; w < SLAB_WORDS_MAX; w++) {
            struct own_u64 *free = hak_slab_free_word(hak_slab_at(unit), w);
            struct atomic_u64 *remote = hak_slab_remote_word(hak_slab_at(unit), w);
            assert_int_equal(own_load(free), (uint64_t)unit << 32 | w);
            assert_int_equal(load_relaxed(SLAB_REMOTE_PEEK, remote), ~((uint64_t)unit << 32 | w));
            own_store(free, 0);
            init_cell(remote, 0);
        }
}

// The check of a record notices a change of each field that it covers.
static void test_ok_sees(void **state)
{
    (void)state;
    unsigned c = hak_class_of(48);
    struct slab *s = begin(0, c, 1, true);
    void *out[3];
    assert_int_equal(hak_slab_take(s, out, 3), 3);
    assert_true(hak_slab_ok(s));
    struct slab saved = *s;
#define EXPECT_SEEN(change)           \
    do {                              \
        change;                       \
        assert_false(hak_slab_ok(s)); \
        *s = saved;                   \
        assert_true(hak_slab_ok(s));  \
    } while (0)
    EXPECT_SEEN(own_store(&s->state, SLAB_LARGE));
    EXPECT_SEEN(own_store(&s->class_index, 0));
    EXPECT_SEEN(own_store(&s->class_index, c + 1));
    EXPECT_SEEN(own_store(&s->class_index, TAG_LARGE));
    EXPECT_SEEN(own_store(&s->units, 0));
    EXPECT_SEEN(own_store(&s->units, 2));
    EXPECT_SEEN(own_store(&s->units, SUPERSLAB_UNITS + 1));
    EXPECT_SEEN(own_store(&s->blocks, blocks_of(&saved) - 1));
    EXPECT_SEEN(own_store(&s->back, 1));
    EXPECT_SEEN(own_store(&s->free_blocks, own_load(&saved.free_blocks) + 1));
    EXPECT_SEEN(own_store(hak_slab_free_word(s, 0), own_load(&saved.near_free[0]) | 1));
    EXPECT_SEEN(init_cell(hak_slab_remote_word(s, 0), 1 << 5)); // free and remote
    uint64_t beyond = (uint64_t)1 << blocks_of(s) % 64;
    struct atomic_u64 *last = hak_slab_remote_word(s, blocks_of(s) / 64); // not in the record
    init_cell(last, beyond);
    assert_false(hak_slab_ok(s));
    init_cell(last, 0);
    assert_true(hak_slab_ok(s));
    hak_set_tags(0, 1, c + 1);
    assert_false(hak_slab_ok(s));
    hak_set_tags(0, 1, c);
    hak_slab_end(s);
}

static void test_large_block(void **state)
{
    (void)state;
    struct slab *s = hak_slab_at(3);
    hak_slab_begin_block(s, SLAB_LARGE, 5, 5 * UNIT_SIZE - 7);
    assert_int_equal(own_load(&s->bytes), 5 * UNIT_SIZE - 7);
    for (uint32_t i = 0; i < SUPERSLAB_UNITS; i++)
        assert_int_equal(hak_tag_of(hak_unit_base(i)), i >= 3 && i < 8 ? TAG_LARGE : TAG_NONE);
    hak_slab_end(s);
    hak_slab_begin_block(s, SLAB_HUGE, 29, 29 * UNIT_SIZE);
    assert_int_equal(hak_tag_of(hak_unit_base(31)), TAG_HUGE);
    assert_int_equal(own_load(&s->state), SLAB_HUGE);
    hak_slab_end(s);
    assert_int_equal(hak_tag_of(hak_unit_base(31)), TAG_NONE);
}

// Each free block is taken once, the others never; of `among` only.
static void test_take_random(void **state)
{
    (void)state;
    static struct random_source random;
    void *out[SLAB_BLOCKS_MAX];
    for (unsigned c = CLASS_FIRST; c <= CLASS_LAST; c++) {
        struct slab *s = begin(0, c, hak_classes[c].units, false);
        uint32_t ascending = 0, left = blocks_of(s), rounds = 0;
        while (left != 0) {
            uint64_t among = rounds++ % 3 == 1 ? 0x5555555555555555 : UINT64_MAX;
            uint32_t count = hak_slab_take_random(s, out, 1 + left / 2, among, &random);
            for (uint32_t i = 0; i < count; i++) {
                uint32_t index = hak_slab_index(s, out[i]);
                assert_true(index != UINT32_MAX && model[index] == IN_SLAB);
                assert_true((among >> index % 64 & 1) != 0);
                model[index] = OUT;
                ascending += i > 0 && (char *)out[i] > (char *)out[i - 1];
            }
            compare(s);
            left -= count;
        }
        assert_int_equal(hak_slab_take_random(s, out, 1, UINT64_MAX, &random), 0);
        assert_null(hak_slab_take_untouched_random(s, &random));
        if (blocks_of(s) >= 128)
            assert_true(ascending < blocks_of(s) * 3 / 4 && ascending > blocks_of(s) / 4);
        hak_slab_end(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_begin_end),   cmocka_unit_test(test_model),
        cmocka_unit_test(test_all_blocks),  cmocka_unit_test(test_index),
        cmocka_unit_test(test_words),       cmocka_unit_test(test_ok_sees),
        cmocka_unit_test(test_large_block), cmocka_unit_test(test_take_random),
    };
    return cmocka_run_group_tests(tests, start_one_superslab, NULL);
}

// test_slab_random.c: which blocks a refill at random takes, and in which order.
#define _GNU_SOURCE 1
#include "support.h"

#include <seam/os.h>

#include "one_superslab.h"
#include "random.h"
#include "slab.h"

static uint32_t blocks_of(const struct slab *s)
{
    return own_load(&s->blocks);
}

static struct slab *begin(unsigned class_index, bool zero)
{
    struct slab *s = hak_slab_at(0);
    hak_slab_begin(s, class_index, hak_classes[class_index].units, zero);
    return s;
}

// All its blocks were handed out, and are free again.
static struct slab *begin_used(unsigned class_index)
{
    void *out[SLAB_BLOCKS_MAX];
    struct slab *s = begin(class_index, false);
    assert_int_equal(hak_slab_take(s, out, blocks_of(s)), blocks_of(s));
    for (unsigned w = 0; w < hak_slab_words(s); w++)
        assert_int_equal(hak_slab_give(s, w, hak_slab_possible(s, w)), 0);
    return s;
}

// The index of a random free block, which is taken.
static uint32_t take_one(struct slab *s, struct random_source *random)
{
    void *p;
    assert_int_equal(hak_slab_take_random(s, &p, 1, UINT64_MAX, random), 1);
    return hak_slab_index(s, p);
}

// Of how many free blocks one is chosen.
static uint32_t near_of(unsigned class_index)
{
    return (uint32_t)max_size(RANDOM_NEAR_BYTES / hak_class_bytes(class_index), RANDOM_NEAR_MIN);
}

// Each block is one of the first free ones of its word, each of them as often as the others.
static void test_near(void **state)
{
    (void)state;
    static struct random_source random;
    for (unsigned c = CLASS_FIRST; c <= CLASS_LAST; c++) {
        struct slab *s = begin_used(c);
        uint32_t near = near_of(c), choices = 0, taken[64] = { 0 };
        for (uint32_t i = 0; i < blocks_of(s); i++) {
            uint64_t before[SLAB_WORDS_MAX];
            for (unsigned w = 0; w < hak_slab_words(s); w++)
                before[w] = own_load(hak_slab_free_word(s, w));
            uint32_t index = take_one(s, &random);
            uint64_t was = before[index / 64], below = ((uint64_t)1 << index % 64) - 1;
            uint32_t place = (uint32_t)__builtin_popcountll(was & below);
            assert_in_range(place, 0, near - 1);
            if ((uint32_t)__builtin_popcountll(was) >= near) {
                taken[place]++;
                choices++;
            }
        }
        for (uint32_t i = 0; choices >= 64 * near && i < near; i++)
            assert_in_range(taken[i], choices / near / 4, choices / near * 2);
        hak_slab_end(s);
    }
}

// From one block to the next no distance is so frequent that it could be relied on: the most
// frequent one, to the neighbour, is one in 6 of blocks of 64 bytes, less of shorter ones.
static void test_distances(void **state)
{
    (void)state;
    static struct random_source random;
    void *out[64];
    for (unsigned c = CLASS_FIRST; hak_class_bytes(c) <= 64; c++) {
        uint32_t often[129] = { 0 }, all = 0;
        for (unsigned round = 0; round < 64; round++) {
            struct slab *s = begin(c, false);
            uint32_t count = hak_slab_take_random(s, out, 64, UINT64_MAX, &random);
            for (uint32_t i = 1; i < count; i++, all++)
                often[64 + hak_slab_index(s, out[i - 1]) - hak_slab_index(s, out[i])]++;
            hak_slab_end(s);
        }
        for (unsigned i = 0; i < 129; i++)
            assert_in_range(often[i], 0, all / (GEOMETRY_SMALL ? 4 : 5));
        assert_in_range(often[65], 1, all);
    }
}

// What one call takes is popped in about the order of the addresses.
static void test_about_ascending(void **state)
{
    (void)state;
    static struct random_source random;
    void *out[64];
    for (unsigned c = CLASS_FIRST; c <= CLASS_LAST; c++) {
        struct slab *s = begin(c, false);
        uint32_t count = hak_slab_take_random(s, out, 64, UINT64_MAX, &random);
        assert_int_equal(count, blocks_of(s) < 64 ? blocks_of(s) : 64);
        for (uint32_t i = 0; i < count; i++)
            assert_true(hak_slab_index(s, out[count - 1 - i]) < i + near_of(c));
        hak_slab_end(s);
    }
}

// A word that blocks were taken from goes on until it has none; then comes a random one.
static void test_word_goes_on(void **state)
{
    (void)state;
    static struct random_source random;
    uint32_t jumps = 0;
    for (unsigned round = 0; round < 32; round++) {
        struct slab *s = begin_used(CLASS_FIRST);
        for (uint32_t i = 0, word = 0; i < blocks_of(s); i++) {
            bool goes_on = own_load(hak_slab_free_word(s, word)) != 0;
            uint32_t lowest = 0;
            while (own_load(hak_slab_free_word(s, lowest)) == 0)
                lowest++;
            uint32_t next = take_one(s, &random) / 64;
            assert_true(i == 0 || !goes_on || next == word);
            jumps += !goes_on && next != lowest;
            word = next;
        }
        hak_slab_end(s);
    }
    assert_true(jumps > 8);
}

// Also within one call: with a free block in each word they come in no foreseeable order.
static void test_words_in_one_call(void **state)
{
    (void)state;
    static struct random_source random;
    void *out[SLAB_BLOCKS_MAX];
    uint32_t jumps = 0;
    for (unsigned round = 0; round < 64; round++) {
        struct slab *s = begin(CLASS_FIRST, false);
        uint32_t words = hak_slab_words(s);
        assert_int_equal(hak_slab_take(s, out, blocks_of(s)), blocks_of(s));
        for (unsigned w = 0; w < words; w++)
            assert_int_equal(hak_slab_give(s, w, (uint64_t)1 << round), 0);
        assert_int_equal(hak_slab_take_random(s, out, words, UINT64_MAX, &random), words);
        for (uint32_t i = 1; i < words; i++) {
            uint32_t before = hak_slab_index(s, out[i]) / 64;
            jumps += hak_slab_index(s, out[i - 1]) / 64 != (before + 1) % words;
        }
        hak_slab_end(s);
    }
    assert_true(jumps > 32);
}

// A call for blocks that were used leaves those that nobody had as they are.
static void test_new_ones_stay(void **state)
{
    (void)state;
    static struct random_source random;
    void *out[8];
    struct slab *s = begin(hak_class_of(ZERO_TRACKED_MIN), true);
    assert_int_equal(hak_slab_take_random(s, out, 8, own_load(&s->touched), &random), 0);
    assert_int_equal(own_load(&s->handed), 0);
    assert_non_null(hak_slab_take_untouched_random(s, &random));
    assert_in_range(own_load(&s->handed), 1, RANDOM_BLOCKS_MIN);
    hak_slab_end(s);
}

// Of the word that was used last only blocks that somebody had count.
static void test_word_is_used_up(void **state)
{
    (void)state;
    static struct random_source random;
    void *out[SLAB_BLOCKS_MAX];
    unsigned class_index = hak_class_of(96); // of which a window is part of a word
    uint32_t count = 128 + (uint32_t)(RANDOM_WINDOW_BYTES / 96), second = 0;
    for (unsigned round = 0; round < 64; round++) {
        struct slab *s = begin(class_index, false);
        if (blocks_of(s) < 192) {
            hak_slab_end(s);
            skip();
        }
        assert_int_equal(hak_slab_take_random(s, out, count, UINT64_MAX, &random), count);
        assert_int_equal(own_load(&s->handed), count);
        for (unsigned w = 0; w < 2; w++)
            assert_int_equal(hak_slab_give(s, w, UINT64_MAX), 0);
        second += take_one(s, &random) / 64 == 1;
        hak_slab_end(s);
    }
    assert_in_range(second, 1, 63);
}

// Blocks that nobody had come from few pages: a slab's memory is used bit by bit, and what was
// never chosen from is known as that.
static void test_window(void **state)
{
    (void)state;
    static struct random_source random;
    void *out[4];
    for (unsigned c = CLASS_FIRST; c <= CLASS_LAST; c++) {
        struct slab *s = begin(c, false);
        size_t bytes = hak_class_bytes(c);
        size_t window = max_size(RANDOM_WINDOW_BYTES, RANDOM_BLOCKS_MIN * bytes);
        for (uint32_t i = 0; i < blocks_of(s); i += 4) {
            uint32_t count = hak_slab_take_random(s, out, 4, UINT64_MAX, &random);
            for (uint32_t k = 0; k < count; k++) {
                size_t offset = (size_t)((char *)out[k] - hak_slab_base(s));
                assert_true(offset < (i + 4) * bytes + window);
                assert_true(offset / bytes < own_load(&s->handed));
            }
            assert_true(own_load(&s->handed) * bytes <= (i + 4) * bytes + window);
        }
        hak_slab_end(s);
    }
}

// Blocks that will be read before they are written to have their pages already: no fault is left.
static void test_fresh_pages(void **state)
{
    (void)state;
    static struct random_source random;
    void *out[64];
    if (!FREE_IS_ZERO)
        skip();
    struct slab *s = begin(hak_class_of(ZERO_TRACKED_MIN / 2), true);
    size_t bytes = hak_class_bytes(own_load(&s->class_index));
    assert_true(os_decommit(hak_slab_base(s), UNIT_SIZE));
    uint32_t count = hak_slab_take_random(s, out, 8, UINT64_MAX, &random);
    uint64_t before, after, major;
    hak_os_page_faults(&before, &major);
    for (uint32_t i = 0; i < count; i++)
        for (size_t b = 0; b < bytes; b += 256)
            ((volatile char *)out[i])[b] += 1;
    hak_os_page_faults(&after, &major);
    assert_int_equal(count, 8);
    assert_int_equal(after, before);
    hak_slab_end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_near),
        cmocka_unit_test(test_distances),
        cmocka_unit_test(test_about_ascending),
        cmocka_unit_test(test_word_goes_on),
        cmocka_unit_test(test_words_in_one_call),
        cmocka_unit_test(test_new_ones_stay),
        cmocka_unit_test(test_word_is_used_up),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_fresh_pages),
    };
    return cmocka_run_group_tests(tests, start_one_superslab, NULL);
}

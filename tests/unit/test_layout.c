// test_layout.c: what the description says of the heap is what the heap is, read as a tool reads
// it: as numbers at addresses.
#define _GNU_SOURCE 1
#include "support.h"

#include "hakmem.h"
#include "heaps.h"
#include "layout.h"

static uint32_t word(uint64_t address)
{
    return *(const uint32_t *)(uintptr_t)address;
}

static uint64_t long_word(uint64_t address)
{
    return *(const uint64_t *)(uintptr_t)address;
}

static uint64_t record_of(const void *p)
{
    const struct layout *l = &hak_layout;
    return l->records + ((uintptr_t)p - l->arena) / l->unit_bytes * l->record_bytes;
}

static void test_header(void **state)
{
    (void)state;
    hak_free(hak_malloc(1));
    assert_string_equal(hak_layout.magic, "hakmem layout");
    assert_int_equal(hak_layout.self, (uintptr_t)&hak_layout);
    assert_int_equal(hak_layout.format, LAYOUT_FORMAT);
    assert_non_null(strstr(hak_version(), hak_layout.flavour));
    assert_int_equal(word(hak_layout.begun), hak_superslabs_begun());
    assert_int_equal(word(hak_layout.heaps_count), hak_heaps_count());
    assert_ptr_equal((void *)long_word(hak_layout.heaps), hak_heaps_at(0));
    assert_true(hak_layout.meta + hak_layout.meta_bytes > (uintptr_t)hak_heaps_at(0));
}

static void test_slab(void **state)
{
    (void)state;
    const struct layout *l = &hak_layout;
    char *p = hak_malloc(500);
    struct slab *s = hak_slab_of_unit(hak_unit_of(p));
    uint64_t record = record_of(hak_slab_base(s));
    assert_int_equal(record, (uintptr_t)s);
    assert_int_equal(word(record + l->state), SLAB_ACTIVE);
    uint32_t class_index = word(record + l->class_index);
    assert_int_equal(word(l->classes + class_index * l->class_bytes), 512);
    assert_int_equal(word(record + l->units), own_load(&s->units));
    assert_int_equal(word(record + l->blocks), own_load(&s->blocks));
    assert_int_equal(word(record + l->free_blocks), own_load(&s->free_blocks));
    assert_int_equal(long_word(record + l->free), own_load(&s->near_free[0]));
    assert_true(l->remote - l->free == l->near_words * 8);
    char *small = hak_malloc(16); // a slab of as many blocks as there are
    const struct slab *t = hak_slab_of_unit(hak_unit_of(small));
    uint64_t superslab = hak_slab_unit(t) / SUPERSLAB_UNITS * SUPERSLAB_UNITS * l->far_bytes;
    for (uint64_t w = l->near_words; w < l->bitmap_words; w++)
        for (int remote = 0; remote < 2; remote++) {
            uint64_t lines = l->bitmap_words / l->near_words - 1;
            uint64_t line = remote * lines + w / l->near_words - 1;
            uint64_t at = l->far + superslab +
                          ((line * l->superslab_units + hak_slab_unit(t) % SUPERSLAB_UNITS) *
                               l->near_words +
                           w % l->near_words) *
                              8;
            uintptr_t is = remote ? (uintptr_t)hak_slab_remote_word(t, (unsigned)w)
                                  : (uintptr_t)hak_slab_free_word(t, (unsigned)w);
            assert_int_equal(at, is);
        }
    hak_free(small);
    uint8_t tag = *(uint8_t *)(l->tags + ((uintptr_t)p - l->arena) / l->unit_bytes);
    assert_int_equal(tag, class_index);
    uint64_t heap = long_word(record + l->owner) - l->inbox;
    assert_ptr_equal((void *)heap, hak_heaps_at(0));
    assert_int_equal(word(heap + l->heap_state), HEAP_BUSY);
    hak_free(p);
    if (MITIGATE_QUARANTINE)
        return; // it is put off
    uint64_t magazine = heap + l->magazines + class_index * l->magazine_bytes;
    uint64_t top = long_word(magazine + l->top);
    const struct magazine *m = &hak_heaps_at(0)->magazines[class_index];
    if (!MITIGATE_QUARANTINE)
        assert_int_equal(long_word(top - 8), (uintptr_t)p);
    assert_int_equal(top, (uintptr_t)own_load(&m->top));
    assert_int_equal(long_word(magazine + l->slots), (uintptr_t)own_load(&m->slots));
    assert_int_equal(word(magazine + l->capacity), own_load(&m->capacity));
}

static void test_large(void **state)
{
    (void)state;
    const struct layout *l = &hak_layout;
    char *p = hak_malloc(CLASS_SIZE_MAX + 1);
    uint64_t record = record_of(p);
    assert_int_equal(word(record + l->state), SLAB_LARGE);
    assert_int_equal(word(record + l->live), 1);
    assert_int_equal(long_word(record + l->bytes), hak_malloc_usable_size(p));
    assert_int_equal(l->tag_large, TAG_LARGE);
    hak_free(p);
    assert_int_equal(word(record + l->live), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header),
        cmocka_unit_test(test_slab),
        cmocka_unit_test(test_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

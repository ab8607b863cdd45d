// layout.c: the description of everything that a picture of the heap is drawn from.
//
// Written once at start, its magic last: whoever finds that finds the rest.
#include "layout.h"

#include <seam/os.h>

#include "heaps.h"

#define MAGIC "hakmem layout"
_Static_assert(sizeof(struct layout) % sizeof(uint64_t) == 0, "read as words of 64 bits");
_Static_assert(sizeof(void *) == sizeof(uint64_t), "addresses are fields");

struct layout hak_layout;

static void set_geometry(struct layout *l)
{
    l->unit_bytes = UNIT_SIZE;
    l->superslab_units = SUPERSLAB_UNITS;
    l->class_count = CLASS_COUNT;
    l->tag_large = TAG_LARGE;
    l->tag_huge = TAG_HUGE;
    l->page_bytes = os_page_size();
}

static void set_addresses(struct layout *l)
{
    l->self = (uintptr_t)l;
    l->arena = (uintptr_t)hak_arena.base;
    l->arena_bytes = hak_arena.bytes;
    l->tags = (uintptr_t)hak_arena.tags;
    l->records = (uintptr_t)hak_arena.records;
    l->masks = (uintptr_t)hak_arena.masks;
    l->meta = (uintptr_t)hak_arena.meta;
    l->meta_bytes = hak_arena.meta_bytes;
    l->begun = (uintptr_t)hak_superslabs_begun_at();
    l->heaps_count = (uintptr_t)hak_heaps_count_at();
    l->heaps = (uintptr_t)hak_heaps_table_at();
    l->classes = (uintptr_t)hak_classes;
    l->class_bytes = sizeof hak_classes[0];
}

static void set_records(struct layout *l)
{
    l->record_bytes = RECORD_SIZE;
    l->state = offsetof(struct slab, state);
    l->class_index = offsetof(struct slab, class_index);
    l->units = offsetof(struct slab, units);
    l->blocks = offsetof(struct slab, blocks);
    l->free_blocks = offsetof(struct slab, free_blocks);
    l->bytes = offsetof(struct slab, bytes);
    l->owner = offsetof(struct slab, owner);
    l->live = offsetof(struct slab, live);
    l->free = offsetof(struct slab, near_free);
    l->remote = offsetof(struct slab, near_remote);
    l->bitmap_words = SLAB_WORDS_MAX;
    l->near_words = RECORD_WORDS;
    l->far = (uintptr_t)hak_arena.far_words;
    l->far_bytes = FAR_SIZE;
}

static void set_heaps(struct layout *l)
{
    l->heap_bytes = sizeof(struct heap);
    l->magazines = offsetof(struct heap, magazines);
    l->magazine_bytes = sizeof(struct magazine);
    l->top = offsetof(struct magazine, top);
    l->slots = offsetof(struct magazine, slots);
    l->capacity = offsetof(struct magazine, capacity);
    l->inbox = offsetof(struct heap, inbox);
    l->heap_state = offsetof(struct heap, state);
}

void hak_layout_start(void)
{
    struct layout *l = &hak_layout;
    static const char flavour[] = HAK_FLAVOUR;
    static const char flavour_small[] = HAK_FLAVOUR " small";
    _Static_assert(sizeof flavour_small <= sizeof l->flavour, "the longest name fits");
    set_geometry(l);
    set_addresses(l);
    set_records(l);
    set_heaps(l);
    l->format = LAYOUT_FORMAT;
    __builtin_memcpy(l->flavour, GEOMETRY_SMALL ? flavour_small : flavour,
                     GEOMETRY_SMALL ? sizeof flavour_small : sizeof flavour);
    static const char magic[] = MAGIC; // elsewhere too: `self` tells the original
    _Static_assert(sizeof magic <= sizeof l->magic, "with its zero");
    own_order();
    __builtin_memcpy(l->magic, magic, sizeof magic);
}

// fuzz_slab.c: the bitmaps of a slab against an array of flags.
//
// Input: a byte for the class, one for the slab's length and its memory (zero or not), then records
// of three bytes: what to do and two numbers for it.
#include "target.h"
#include "world.h"

#include "../src/slab.h"

#include <string.h>

const char target_name[] = "fuzz_slab";

static struct slab *slab;
static const struct size_class *class;
static bool tracked; // a class whose slabs know which blocks were used before
static uint32_t blocks, handed;
static struct {
    bool is_free, touched;
} model[SLAB_BLOCKS_MAX];

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    world_reset();
    return 0;
}

static void begin(uint8_t class_byte, uint8_t length)
{
    unsigned c = CLASS_FIRST + class_byte % CLASS_COUNT;
    world_reset();
    hak_classes_start((size_t)128 << 10);
    target_must(hak_arena_start(2 * SUPERSLAB_SIZE) && hak_arena_commit(0, 1), "no arena");
    class = &hak_classes[c];
    tracked = class->block_bytes >= ZERO_TRACKED_MIN;
    uint32_t more = length / 2 % (class->units - class->units_min + 1);
    uint32_t units = class->units - more;
    slab = hak_slab_at(length % 7 % (SUPERSLAB_UNITS - units + 1));
    bool zero = length % 2 != 0;
    hak_slab_begin(slab, c, units, zero);
    blocks = (uint32_t)(units * UNIT_SIZE / class->block_bytes);
    handed = 0;
    for (uint32_t i = 0; i < blocks; i++)
        model[i].is_free = true, model[i].touched = !zero;
}

static void check(void)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < blocks; i++) {
        bool set = (own_load(hak_slab_free_word(slab, i / 64)) >> i % 64 & 1) != 0;
        target_must(set == model[i].is_free, "another block is free than in the model");
        count += set;
        if (tracked)
            target_must((own_load(&slab->touched) >> i & 1) == model[i].touched,
                        "another block was used before than in the model");
    }
    target_must(own_load(&slab->blocks) == blocks, "another number of blocks than by division");
    target_must(own_load(&slab->free_blocks) == count, "the count of free blocks is wrong");
    target_must(hak_slab_is_empty(slab) == (count == blocks), "empty or not: wrong");
    target_must(own_load(&slab->handed) == handed,
                "another block was handed out than in the model");
    target_must(hak_slab_ok(slab), "the slab's own check fails");
}

static bool may_take(uint32_t i, bool touched_only)
{
    return model[i].is_free && (!touched_only || model[i].touched);
}

// The lowest blocks, the lowest of them last.
static void take(uint32_t want, bool touched_only)
{
    void *out[SLAB_BLOCKS_MAX];
    uint32_t got = touched_only ? hak_slab_take_touched(slab, out, want)
                                : hak_slab_take(slab, out, want);
    for (uint32_t i = 0, left = got; i < blocks && left != 0; i++) {
        if (!may_take(i, touched_only))
            continue;
        target_must(out[--left] == hak_slab_base(slab) + (size_t)i * class->block_bytes,
                    "another block was taken than the lowest");
        model[i].is_free = false;
        handed = i + 1 > handed ? i + 1 : handed;
    }
    for (uint32_t i = 0; i < blocks && got < want; i++)
        target_must(!may_take(i, touched_only), "fewer blocks were taken than there are");
    target_must(got <= want, "more blocks were taken than were wanted");
}

static void take_untouched(void)
{
    uint32_t i = 0;
    while (i < blocks && !(model[i].is_free && !model[i].touched))
        i++;
    char *p = hak_slab_take_untouched(slab);
    target_must(p == (i == blocks ? NULL : hak_slab_base(slab) + (size_t)i * class->block_bytes),
                "another block was taken than the lowest that nobody used");
    if (p == NULL)
        return;
    model[i].is_free = false;
    model[i].touched = true;
    handed = i + 1 > handed ? i + 1 : handed;
}

// Blocks that are out, or, a mistake of the user, some that are not: then nothing happens.
static void give(unsigned word, uint64_t bits)
{
    uint64_t twice = 0;
    word %= hak_slab_words(slab);
    bits &= hak_slab_possible(slab, word);
    for (unsigned i = 0; i < 64 && word * 64 + i < blocks; i++)
        twice |= (uint64_t)model[word * 64 + i].is_free << i & bits;
    target_must(hak_slab_give(slab, word, bits) == twice, "other blocks were free already");
    for (unsigned i = 0; i < 64 && twice == 0; i++)
        if (bits >> i & 1)
            model[word * 64 + i].is_free = true;
}

static void find(size_t offset)
{
    size_t index = offset / class->block_bytes;
    bool begins = offset % class->block_bytes == 0 && index < blocks;
    target_must(hak_slab_index(slab, hak_slab_base(slab) + offset) == (begins ? index : UINT32_MAX),
                "a pointer is another block than by division");
}

static void act(const uint8_t *record)
{
    uint64_t bits = record[2] * UINT64_C(0x0101010101010101);
    switch (record[0] % 4) {
    case 0:
        take(record[1] % 80, tracked);
        break;
    case 1:
        give(record[1], record[0] & 4 ? bits : UINT64_C(1) << record[2] % 64);
        break;
    case 2:
        find((size_t)(record[1] << 8 | record[2]) *
             (record[0] & 4 ? class->block_bytes : MALLOC_ALIGN / 2) % SUPERSLAB_SIZE);
        break;
    default:
        if (tracked)
            take_untouched();
        else
            take(1, false);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return -1;
    begin(data[0], data[1]);
    check();
    for (data += 2, size -= 2; size >= 3; data += 3, size -= 3) {
        act(data);
        check();
    }
    hak_slab_end(slab);
    for (uint32_t i = 0; i < own_load(&slab->units); i++)
        target_must(hak_tag_of(hak_slab_base(slab) + i * UNIT_SIZE) == TAG_NONE,
                    "a tag is left behind");
    return 0;
}

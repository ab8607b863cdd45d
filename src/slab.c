// slab.c: bitmaps of one slab.
//
//   units   |#0 ............|#1 ............|...     blocks of `block_bytes`, first at offset 0
//   record   free:   1 0 0 1 1 1 1 1 ...             1 = in the slab, may be taken
//            remote: 0 1 0 0 0 0 0 0 ...             1 = freed by another, still to take back
//
//   free_blocks == popcount(free);  free & remote == 0;  bits at and beyond `blocks` are 0
//   block i was never handed out  <=>  i >= handed   (blocks are taken lowest first; in a random
//   order: <=, and those below were chosen from)
//   classes from ZERO_TRACKED_MIN have at most 64 blocks: untouched = free & ~touched, one word
//
// The owner alone reads and writes `free`; `remote` belongs to remote.c.

#include "slab.h"

#include <seam/os.h>
#include <seam/processor.h>
#include <seam/sanitizer.h>

#include "fault.h"
#include "random.h"
#include "types.h"

_Static_assert(ZERO_TRACKED_MIN * 64 >= UNIT_SIZE, "tracked slabs have at most 64 blocks");

// The units were claimed out of a mask. One that still belongs to a run means that the mask, the
// tag or the record was damaged: nothing good can come of using it.
static void expect_unused(uint32_t unit, uint32_t units)
{
    for (uint32_t i = unit; i < unit + units; i++)
        if (mistake(hak_tag_of(hak_unit_base(i)) != TAG_NONE ||
                    own_load(&hak_slab_at(i)->state) != SLAB_NONE))
            hak_fault(FAULT_CORRUPT_RECORD, hak_unit_base(i), hak_tag_of(hak_unit_base(i)));
}

void hak_slab_begin(struct slab *s, unsigned class_index, uint32_t units, bool zero)
{
    const struct size_class *c = &hak_classes[class_index];
    uint32_t blocks = (uint32_t)(units * UNIT_SIZE / c->block_bytes);
    uint32_t unit = hak_slab_unit(s);
    expect_unused(unit, units);
    own_store(&s->class_index, class_index);
    own_store(&s->units, units);
    own_store(&s->blocks, blocks);
    own_store(&s->free_blocks, blocks);
    own_store(&s->handed, 0);
    own_store(&s->touched, zero ? 0 : UINT64_MAX);
    if (MITIGATE_RANDOM)
        own_store(&s->reached, 0);
    own_store(&s->bytes, 0);
    s->place = PLACE_FULL;
    s->next = s->prev = NULL;
    for (unsigned w = 0; w * 64 < blocks; w++)
        own_store(hak_slab_free_word(s, w), hak_slab_possible(s, w));
    for (uint32_t i = 0; i < units; i++)
        own_store(&hak_slab_at(unit + i)->back, i);
    own_store(&s->state, SLAB_ACTIVE);
    sanitize_own(hak_slab_base(s), units * UNIT_SIZE);
    hak_set_tags(unit, units, class_index);
}

void hak_slab_begin_block(struct slab *s, enum slab_state state, uint32_t units, size_t bytes)
{
    uint32_t unit = hak_slab_unit(s);
    expect_unused(unit, state == SLAB_LARGE ? units : 1); // a huge block reads one record only
    own_store(&s->class_index, state == SLAB_LARGE ? TAG_LARGE : TAG_HUGE);
    own_store(&s->units, units);
    own_store(&s->blocks, 1);
    own_store(&s->back, 0);
    own_store(&s->bytes, bytes);
    if (MITIGATE_GUARDS) {
        own_store(&s->handed, 0);
        own_store(&s->touched, 0);
        s->place = 0;
    }
    if (HAK_MITIGATIONS != 0)
        own_store(&s->reached, 0);
    own_store(&s->state, state);
    hak_set_tags(unit, units, state == SLAB_LARGE ? TAG_LARGE : TAG_HUGE);
}

void hak_slab_end(struct slab *s)
{
    uint32_t unit = hak_slab_unit(s);
    uint32_t units = own_load(&s->units);
    if (MITIGATE_TYPES && own_load(&s->state) == SLAB_ACTIVE)
        hak_types_released(own_load(&s->class_index), unit / SUPERSLAB_UNITS);
    if (MITIGATE_GUARDS && own_load(&s->state) != SLAB_ACTIVE)
        hak_set_tags(unit - hak_slab_lead(s), hak_slab_lead(s), TAG_NONE);
    hak_set_tags(unit, units, TAG_NONE);
    own_store(&s->state, SLAB_NONE); // what it was stays readable, for reports of late frees
}

static void note_taken(struct slab *s, uint32_t taken, uint32_t end)
{
    own_store(&s->free_blocks, own_load(&s->free_blocks) - taken);
    if (!WITHOUT_CHECKS && end > own_load(&s->handed))
        own_store(&s->handed, end);
}

uint32_t hak_slab_take(struct slab *s, void **out, uint32_t want)
{
    uint32_t free_blocks = own_load(&s->free_blocks);
    uint32_t count = want < free_blocks ? want : free_blocks;
    size_t block_bytes = hak_class_bytes(own_load(&s->class_index));
    char *base = hak_slab_base(s);
    uint32_t end = 0;
    uint32_t left = count;
    for (unsigned w = 0, words = hak_slab_words(s); left != 0; w++) {
        if (mistake(w == words)) // the count promises more than the bitmap holds
            hak_fault(FAULT_CORRUPT_RECORD, base, own_load(&s->class_index));
        uint64_t bits = own_load(hak_slab_free_word(s, w));
        while (bits != 0 && left != 0) {
            uint32_t index = w * 64 + lowest_bit(bits);
            bits &= bits - 1;
            out[--left] = base + index * block_bytes;
            end = index + 1;
        }
        own_store(hak_slab_free_word(s, w), bits);
    }
    note_taken(s, count, end);
    return count;
}

uint32_t hak_slab_take_touched(struct slab *s, void **out, uint32_t want)
{
    uint64_t bits = own_load(hak_slab_free_word(s, 0)) & own_load(&s->touched);
    size_t block_bytes = hak_class_bytes(own_load(&s->class_index));
    char *base = hak_slab_base(s);
    uint32_t count = (uint32_t)__builtin_popcountll(bits);
    if (count > want)
        count = want;
    uint64_t taken = 0;
    uint32_t end = 0;
    for (uint32_t left = count; left != 0;) {
        uint32_t index = lowest_bit(bits);
        bits &= bits - 1;
        taken |= (uint64_t)1 << index;
        out[--left] = base + index * block_bytes;
        end = index + 1;
    }
    own_store(hak_slab_free_word(s, 0), own_load(hak_slab_free_word(s, 0)) & ~taken);
    note_taken(s, count, end);
    return count;
}

// Of how many free blocks that follow each other one is chosen: those that a program gets one after
// the other lie near each other, or its caches fetch in vain.
static uint32_t near_blocks(size_t block_bytes)
{
    return (uint32_t)max_size(RANDOM_NEAR_BYTES / block_bytes, RANDOM_NEAR_MIN);
}

// Takes up to `want` random ones of the free blocks that `among` allows in the word, each of the
// first ones that are left: Fisher and Yates' shuffle, with a bound on how far it reaches.
static uint32_t take_random_word(struct slab *s, unsigned w, uint64_t among, void **out,
                                 uint32_t want, struct random_source *random)
{
    size_t block_bytes = hak_class_bytes(own_load(&s->class_index));
    char *base = hak_slab_base(s) + (size_t)w * 64 * block_bytes;
    struct own_u64 *word = hak_slab_free_word(s, w);
    uint64_t taken = 0;
    uint32_t near = near_blocks(block_bytes), there = 0, numbers = 0;
    unsigned char left[64]; // from the next one on: those that are free and not taken
    for (uint64_t bits = own_load(word) & among; bits != 0 && there < want + near; bits &= bits - 1)
        left[there++] = (unsigned char)lowest_bit(bits);
    uint32_t count = there < want ? there : want;
    for (uint32_t next = 0; next < count; next++, numbers >>= 8) {
        if (next % sizeof numbers == 0)
            numbers = hak_random_bits(random, 8 * sizeof numbers);
        uint32_t choice = there - next < near ? there - next : near;
        uint32_t at = next + ((numbers & 255) * choice >> 8);
        unsigned bit = left[at];
        left[at] = left[next];
        taken |= (uint64_t)1 << bit;
        out[next] = base + bit * block_bytes;
    }
    own_store(word, own_load(word) & ~taken);
    own_store(&s->reached, w);
    return count;
}

// The bits of word w that stand for blocks in [from, end).
static uint64_t bits_between(unsigned w, uint32_t from, uint32_t end)
{
    uint64_t below = end - w * 64 >= 64 ? UINT64_MAX : ((uint64_t)1 << (end - w * 64)) - 1;
    return from <= w * 64 ? below : below & UINT64_MAX << (from - w * 64);
}

// How many blocks that were never handed out random ones are chosen from: they lie in a few pages,
// so that a slab's memory is used bit by bit.
static uint32_t window_blocks(unsigned class_index)
{
    size_t blocks = RANDOM_WINDOW_BYTES / hak_class_bytes(class_index);
    return (uint32_t)min_size(max_size(blocks, RANDOM_BLOCKS_MIN), 64);
}

// The pages of [p, p + bytes), whose memory the kernel gave and nobody may have used, get it now:
// they will be read before they are written to.
static void touch_pages(char *p, size_t bytes)
{
    size_t page = os_page_size();
    for (char *end = p + bytes; p < end; p = (char *)round_down((uintptr_t)p + page, page)) {
        sanitize_open(p, 1);
        touch_to_write(p);
    }
}

// The word that blocks below `end` are taken from next: the latest until it has none left, then the
// first that has some from a random one on. UINT32_MAX if none has.
static unsigned next_word(const struct slab *s, uint32_t end, uint64_t among,
                          struct random_source *random)
{
    unsigned words = (end + 63) / 64, w = (unsigned)own_load(&s->reached);
    for (unsigned i = 0; i <= words && words != 0; i++) {
        if (w < words &&
            (own_load(hak_slab_free_word(s, w)) & among & bits_between(w, 0, end)) != 0)
            return w;
        w = i == 0 ? hak_random_below(random, words) : w + 1 == words ? 0 : w + 1;
    }
    return UINT32_MAX;
}

static void reverse(void **blocks, uint32_t count)
{
    for (uint32_t i = 0; i < count / 2; i++) {
        void *first = blocks[i];
        blocks[i] = blocks[count - 1 - i];
        blocks[count - 1 - i] = first;
    }
}

uint32_t hak_slab_take_random(struct slab *s, void **out, uint32_t want, uint64_t among,
                              struct random_source *random)
{
    uint32_t blocks = own_load(&s->blocks), end = own_load(&s->handed), count = 0;
    unsigned w;
    while (count < want && (w = next_word(s, end, among, random)) != UINT32_MAX)
        count += take_random_word(s, w, among & bits_between(w, 0, end), out + count, want - count,
                                  random);
    // Then those that were never handed out: some more of them, to the end of a word at most.
    uint32_t class_index = own_load(&s->class_index), more = window_blocks(class_index);
    size_t block_bytes = hak_class_bytes(class_index);
    bool is_fresh = FREE_IS_ZERO && own_load(&s->touched) == 0 && block_bytes < ZERO_TRACKED_MIN;
    bool is_long = more <= RANDOM_BLOCKS_MIN; // the whole window would be too much at once
    while (count < want && end < blocks) {
        uint32_t from = end;
        w = from / 64;
        uint32_t to = (uint32_t)min_size(min_size(from + more, ((size_t)w + 1) * 64), blocks);
        uint64_t window = among & bits_between(w, from, to);
        if (window == 0) // of those that are asked for none is new
            break;
        end = to;
        if (is_fresh && !is_long)
            touch_pages(hak_slab_base(s) + from * block_bytes, (end - from) * block_bytes);
        count += take_random_word(s, w, window, out + count, want - count, random);
    }
    reverse(out, count);
    for (uint32_t i = 0; is_fresh && is_long && i < count; i++)
        touch_pages(out[i], block_bytes);
    note_taken(s, count, end);
    return count;
}

void *hak_slab_take_untouched(struct slab *s)
{
    uint64_t bits = own_load(hak_slab_free_word(s, 0)) & ~own_load(&s->touched);
    if (bits == 0)
        return NULL;
    uint32_t index = lowest_bit(bits);
    uint64_t bit = (uint64_t)1 << index;
    own_store(hak_slab_free_word(s, 0), own_load(hak_slab_free_word(s, 0)) & ~bit);
    own_store(&s->touched, own_load(&s->touched) | bit);
    note_taken(s, 1, index + 1);
    return hak_slab_base(s) + index * hak_class_bytes(own_load(&s->class_index));
}

void *hak_slab_take_untouched_random(struct slab *s, struct random_source *random)
{
    void *p;
    uint64_t before = own_load(hak_slab_free_word(s, 0));
    if (hak_slab_take_random(s, &p, 1, ~own_load(&s->touched), random) == 0)
        return NULL;
    uint64_t taken = before & ~own_load(hak_slab_free_word(s, 0));
    own_store(&s->touched, own_load(&s->touched) | taken);
    return p;
}

uint64_t hak_slab_possible(const struct slab *s, unsigned word)
{
    uint32_t blocks = own_load(&s->blocks);
    if (word * 64 >= blocks)
        return 0;
    return blocks - word * 64 >= 64 ? UINT64_MAX : ((uint64_t)1 << (blocks - word * 64)) - 1;
}

uint64_t hak_slab_give(struct slab *s, unsigned word, uint64_t bits)
{
    uint64_t before = own_load(hak_slab_free_word(s, word));
    uint64_t twice = before & bits;
    if (mistake(twice != 0))
        return twice;
    own_store(hak_slab_free_word(s, word), before | bits);
    own_store(&s->free_blocks, own_load(&s->free_blocks) + (uint32_t)__builtin_popcountll(bits));
    return 0;
}

uint32_t hak_slab_index(const struct slab *s, const void *p)
{
    const struct size_class *c = &hak_classes[own_load(&s->class_index)];
    size_t offset = (size_t)((const char *)p - hak_slab_base(s));
    uint32_t index = hak_class_index(c, offset);
    if (unlikely(index >= own_load(&s->blocks) || (size_t)index * c->block_bytes != offset))
        return UINT32_MAX;
    return index;
}

struct slab *hak_slab_walk(uint32_t *unit, uint32_t end)
{
    while (*unit < end) {
        struct slab *s = hak_slab_at(*unit);
        uint32_t units = own_load(&s->units);
        bool is_head = own_load(&s->state) != SLAB_NONE;
        *unit += is_head && units > 1 ? units : 1;
        if (is_head)
            return s;
    }
    return NULL;
}

bool hak_slab_ok(const struct slab *s)
{
    uint32_t class_index = own_load(&s->class_index);
    uint32_t units = own_load(&s->units);
    uint32_t blocks = own_load(&s->blocks);
    uint32_t unit = hak_slab_unit(s);
    if (own_load(&s->state) != SLAB_ACTIVE || class_index < CLASS_FIRST ||
        class_index > CLASS_LAST || units == 0 || units > SUPERSLAB_UNITS ||
        blocks != units * UNIT_SIZE / hak_class_bytes(class_index))
        return false;
    uint32_t free_blocks = 0;
    for (unsigned w = 0; w < hak_slab_words(s); w++) {
        uint64_t bits = own_load(hak_slab_free_word(s, w));
        uint64_t remote = load_relaxed(SLAB_REMOTE_PEEK, hak_slab_remote_word(s, w));
        if ((bits & remote) != 0 || ((bits | remote) & ~hak_slab_possible(s, w)) != 0)
            return false;
        free_blocks += (uint32_t)__builtin_popcountll(bits);
    }
    unsigned tag = hak_tag_of(hak_unit_base(unit));
    if (tag != class_index && tag != TAG_PROFILED)
        return false;
    for (uint32_t i = 0; i < units; i++)
        if (own_load(&hak_slab_at(unit + i)->back) != i ||
            hak_tag_of(hak_unit_base(unit + i)) != tag)
            return false;
    return free_blocks == own_load(&s->free_blocks);
}

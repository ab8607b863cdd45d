// sweep.c: every free block of a heap reads as zero; here that is looked at.
//
//   quarantine -> magazines -> slabs with free blocks, class by class     in turns, from `class` on
//
// Blocks of slabs that were never handed out, and those in units that went back to the pool, are
// not looked at: the first hold nothing, the second are given back to the system soon.
#include "sweep.h"

#include "harden.h"

// Checks the free blocks of the slab that were handed out once. Returns their bytes.
static size_t sweep_slab(const struct slab *s, unsigned class_index)
{
    size_t block_bytes = hak_class_bytes(class_index), bytes = 0;
    bool tracked = block_bytes >= ZERO_TRACKED_MIN;
    for (unsigned w = 0, words = hak_slab_words(s); w < words; w++) {
        uint64_t bits = own_load(hak_slab_free_word(s, w));
        bits &= tracked ? own_load(&s->touched) : UINT64_MAX;
        for (; bits != 0; bits &= bits - 1) {
            uint32_t index = w * 64 + lowest_bit(bits);
            if (index >= own_load(&s->handed))
                break;
            hak_harden_check_zero(hak_slab_base(s) + index * block_bytes, class_index);
            bytes += block_bytes;
        }
    }
    return bytes;
}

static size_t sweep_class(const struct heap *h, unsigned class_index, size_t bytes_max)
{
    const struct magazine *m = &h->magazines[class_index];
    uint32_t count = hak_magazine_count(m);
    for (uint32_t i = 1; i <= count; i++)
        hak_harden_check_zero(hak_magazine_slots(m)[i], class_index);
    size_t bytes = count * hak_class_bytes(class_index);
    for (struct slab *s = h->first[class_index]; s != NULL && bytes < bytes_max; s = s->next)
        bytes += sweep_slab(s, class_index);
    return bytes;
}

void hak_sweep(struct heap *h, size_t bytes_max)
{
    struct heap_extra *extra = hak_heap_extra(h);
    size_t bytes = 0;
    for (uint32_t i = 0; MITIGATE_QUARANTINE && i < HEAP_WAITING_MAX; i++) {
        const void *p = hak_heap_waiting(h, i);
        unsigned tag = p != NULL ? hak_tag_of(p) : TAG_NONE;
        if (tag != TAG_NONE) // else its slab has ended, which is told when it is flushed
            hak_harden_check_zero(p, tag);
    }
    for (unsigned n = 0; n < CLASS_COUNT && bytes < bytes_max; n++) {
        bytes += sweep_class(h, CLASS_FIRST + extra->swept, bytes_max - bytes);
        extra->swept = (extra->swept + 1) % CLASS_COUNT;
    }
}

// prewarm.c: takes blocks as a program would, touches their pages, and puts them back.
//
//   magazine:  |NULL| rest of the last refill | touched blocks, the lowest on top |
//
// So each structure is in a state that a program could have brought it to: nothing else in the
// allocator knows of prewarming, but hak_cache_trim, which leaves `keep` blocks, and heaps.c, which
// hands out prewarmed heaps first. Blocks lie in an array of metadata memory meanwhile, because
// their own memory holds nothing of ours.
#include "prewarm.h"

#include <seam/os.h>
#include <seam/processor.h>
#include <seam/sanitizer.h>

#include "cache.h"
#include "meta.h"

// One byte of each page. Free blocks may hold anything; where they must be zero, they stay so.
static void touch(char *p, size_t bytes)
{
    sanitize_open(p, bytes);
    for (size_t i = 0; i < bytes; i += os_page_size())
        p[i] = 0;
    p[bytes - 1] = 0;
    if (MITIGATE_STATE) // handing it out writes there
        touch_to_write((char *)hak_live_byte(p));
    sanitize_close(p, bytes);
}

static bool prewarm_class(struct heap *h, unsigned class_index, uint32_t blocks)
{
    struct magazine *m = &h->magazines[class_index];
    uint32_t wanted = (uint32_t)min_size(blocks, hak_cache_reserve(h, class_index, blocks));
    uint32_t taken = 0;
    void **held = wanted != 0 ? hak_meta_alloc(wanted * sizeof(void *)) : NULL;
    if (held == NULL)
        return false;
    hak_heap_before(hak_heap_counts(h, class_index), hak_magazine_count(m));
    while (taken < wanted) {
        bool zero;
        void *p = hak_magazine_pop(m);
        if (p == NULL)
            p = hak_heap_refill(h, class_index, POOL_ANY, &zero);
        if (p == NULL)
            break;
        touch(p, hak_class_bytes(class_index));
        held[taken++] = p;
    }
    // What the last refill brought beyond them makes room.
    while (hak_magazine_count(m) + taken > own_load(&m->capacity))
        hak_heap_free_one(h, class_index, hak_magazine_pop(m));
    for (uint32_t left = taken; left != 0; left--)
        hak_magazine_push(m, held[left - 1]);
    hak_heap_after(hak_heap_counts(h, class_index), hak_magazine_count(m));
    hak_meta_free(held, wanted * sizeof(void *));
    h->prewarm.keep[class_index] = (uint16_t)taken;
    return taken == wanted;
}

bool hak_prewarm(struct heap *h)
{
    bool all = true;
    for (unsigned i = 0; i < PREWARM_CLASSES_MAX && hak_options.prewarm[i].blocks != 0; i++) {
        const struct prewarm_item *item = &hak_options.prewarm[i];
        all &= prewarm_class(h, hak_class_of(item->bytes + CANARY_BYTES), item->blocks);
    }
    h->prewarm.done = true;
    return all;
}

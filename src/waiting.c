// waiting.c: long blocks in the quarantine, whose bytes are bounded.
//
//   quarantines[1].bytes == sum over the blocks in it <= QUARANTINE_BYTES_MAX, or it holds one only
//
// After a fork in the middle of a step `bytes` may be too large, until nothing but the latest
// waits.
#include "waiting.h"

static struct quarantine *long_ones(struct heap *h)
{
    return &hak_heap_extra(h)->quarantines[1];
}

static void *leave(struct heap *h, void *p)
{
    struct quarantine *q = long_ones(h);
    unsigned tag = hak_tag_of(p);
    own_store(&q->bytes, own_load(&q->bytes) - hak_class_bytes(tag));
    return hak_waiting_push(h, p, tag);
}

static void *due(struct heap *h)
{
    struct quarantine *q = long_ones(h);
    const void *latest = own_load(&q->latest);
    while (own_load(&q->bytes) > QUARANTINE_BYTES_MAX) {
        void *p = hak_quarantine_take(q, latest);
        if (p == NULL) {
            own_store(&q->bytes, latest != NULL ? hak_class_bytes(hak_tag_of(latest)) : 0);
            break;
        }
        if ((p = leave(h, p)) != NULL)
            return p;
    }
    return NULL;
}

NOINLINE void *hak_waiting_add_long(struct heap *h, void *p, unsigned tag)
{
    struct quarantine *q = long_ones(h);
    uint32_t at = hak_random_bits(&hak_heap_extra(h)->random, QUARANTINE_BITS);
    hak_quarantine_note(q, at);
    void *displaced = hak_quarantine_add(q, at, p);
    own_store(&q->bytes, own_load(&q->bytes) + hak_class_bytes(tag));
    own_store(&q->latest, p);
    if (displaced != NULL && (displaced = leave(h, displaced)) != NULL)
        return displaced;
    return due(h);
}

void *hak_waiting_due(struct heap *h)
{
    return MITIGATE_QUARANTINE && hak_heap_is_real(h) ? due(h) : NULL;
}

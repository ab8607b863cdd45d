// quarantine.c: a random array before a queue.
//
//   free -> shuffled[random] --displaced--> queue ... --due--> magazine
//
//   added - taken <= QUARANTINE_QUEUE;  bytes <= QUARANTINE_BYTES_MAX after all due ones were taken
//
// How long a block waits in the array cannot be foretold; the queue adds a least wait. Each step
// takes a block out of one place before it stores it in the next: a fork between them loses it for
// the child, where it stays unused.
#include "quarantine.h"

#include "fault.h"
#include "slab.h"

_Static_assert(is_power_of_two_constant(QUARANTINE_QUEUE), "indices wrap around");
_Static_assert(is_power_of_two_constant(QUARANTINE_SHUFFLED), "places are random bits");

// A slab ends when all its blocks are free: one that waits meanwhile was freed twice.
_Noreturn COLD static void fault_ended(const void *p)
{
    hak_fault(FAULT_DOUBLE_FREE, p, own_load(&hak_slab_of_unit(hak_unit_of(p))->class_index));
}

static uint64_t bytes_of(const void *p)
{
    unsigned tag = hak_tag_of(p);
    if (unlikely(tag == TAG_NONE))
        fault_ended(p);
    return hak_class_bytes(tag);
}

// Takes the oldest of the queue, whose entries are [taken, added).
static void *dequeue(struct quarantine *q, uint32_t taken)
{
    void *p = own_load(&q->queue[taken % QUARANTINE_QUEUE]);
    own_store(&q->taken, taken + 1);
    own_order();
    own_store(&q->bytes, own_load(&q->bytes) - bytes_of(p));
    return p;
}

void *hak_quarantine_add(struct quarantine *q, struct random_source *random, void *p, size_t bytes)
{
    uint32_t at = hak_random_bits(random, highest_bit(QUARANTINE_SHUFFLED));
    struct own_ptr *place = &q->shuffled[at];
    void *displaced = own_load(place);
    own_store(&q->bytes, own_load(&q->bytes) + bytes);
    own_store(&q->latest, at);
    own_order();
    own_store(place, p);
    own_order();
    if (displaced == NULL)
        return NULL;
    uint32_t added = own_load(&q->added), taken = own_load(&q->taken);
    void *due = added - taken == QUARANTINE_QUEUE ? dequeue(q, taken) : NULL;
    own_store(&q->queue[added % QUARANTINE_QUEUE], displaced);
    own_order();
    own_store(&q->added, added + 1);
    return due;
}

// The block that was added last comes last.
static void *take_shuffled(struct quarantine *q)
{
    for (uint32_t n = 1; n <= QUARANTINE_SHUFFLED; n++) {
        uint32_t i = (own_load(&q->latest) + n) % QUARANTINE_SHUFFLED;
        void *p = own_load(&q->shuffled[i]);
        if (p == NULL)
            continue;
        own_store(&q->shuffled[i], NULL);
        own_order();
        own_store(&q->bytes, own_load(&q->bytes) - bytes_of(p));
        return p;
    }
    return NULL;
}

void *hak_quarantine_take(struct quarantine *q)
{
    uint32_t taken = own_load(&q->taken);
    void *p = taken != own_load(&q->added) ? dequeue(q, taken) : take_shuffled(q);
    if (p == NULL) // after a fork in the middle of a step `bytes` may be too large
        own_store(&q->bytes, 0);
    return p;
}

void *hak_quarantine_at(const struct quarantine *q, uint32_t i)
{
    if (i < QUARANTINE_SHUFFLED)
        return own_load(&q->shuffled[i]);
    i -= QUARANTINE_SHUFFLED;
    uint32_t taken = own_load(&q->taken);
    bool waits = i < own_load(&q->added) - taken;
    return waits ? own_load(&q->queue[(taken + i) % QUARANTINE_QUEUE]) : NULL;
}

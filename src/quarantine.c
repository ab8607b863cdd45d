// quarantine.c: a random array before a queue.
//
//   free -> shuffled[random] --displaced--> queue ... --due--> magazine
//
//   added - taken <= QUARANTINE_QUEUE
//
// How long a block waits in the array cannot be foretold; the queue adds a least wait.
#include "quarantine.h"

static void *take_shuffled(struct quarantine *q, const void *latest)
{
    uint64_t filled = own_load(&q->filled);
    uint64_t left = filled != 0 ? filled : UINT64_MAX >> (64 - QUARANTINE_SHUFFLED);
    for (; left != 0; left &= left - 1) {
        uint32_t i = lowest_bit(left);
        void *p = own_load(&q->shuffled[i]);
        if (p == latest && p != NULL)
            continue;
        filled &= ~((uint64_t)1 << i);
        if (p == NULL)
            continue;
        own_store(&q->shuffled[i], NULL);
        own_order();
        own_store(&q->filled, filled);
        return p;
    }
    own_store(&q->filled, filled);
    return NULL;
}

void *hak_quarantine_take(struct quarantine *q, const void *latest)
{
    bool queued = own_load(&q->taken) != own_load(&q->added);
    return queued ? hak_quarantine_dequeue(q) : take_shuffled(q, latest);
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

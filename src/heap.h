// heap.h: one thread's front: a magazine per class, its slabs, its inbox.
//
// A heap is used by one thread at a time, its owner: the thread that borrowed it, or one that
// claimed it while it was idle (heaps.h). Everything here is called by the owner, inside of the
// fork gate (attach.h), unless said otherwise.
#ifndef HAK_HEAP_H
#define HAK_HEAP_H

#include "held.h"
#include "options.h"
#include "pool.h"
#include "quarantine.h"
#include "recent.h"
#include "remote.h"

// A stack of free blocks of one class. slots[0] is NULL, the sentinel of an empty stack; blocks are
// slots[1] to top[-1]; full when top == limit.
struct magazine {
    struct own_ptr top; // void **: the slot that the next free writes
    void **limit;       // owner only
    struct own_ptr
        slots; // void **: capacity + 1 pointers of metadata memory; NULL before first use
    struct own_u32 capacity;
    uint32_t room; // blocks that the memory of `slots` holds: at least the capacity
};

enum heap_state {
    HEAP_BUSY = 0, // a thread has it
    HEAP_IDLE,     // nobody: may be borrowed or claimed for a sweep
    HEAP_SWEPT,    // claimed by a sweeper
};

struct heap_counters {
    struct own_u64 refilled[CLASS_COUNT + 1]; // blocks, slab to magazine
    struct own_u64 flushed[CLASS_COUNT + 1];  // blocks, magazine to slab
    struct own_u64 stage[POOL_FROM_NEW + 1];  // slabs, by where they came from
    struct own_u64 released;                  // slabs given to the pool
    struct own_u64 refills, flushes;
    struct own_u64 remote_freed, remote_drained; // blocks
    struct own_u64 drains;
    struct own_u64 sweeps, adopted; // heaps looked at; slabs taken over
    // Large and huge blocks: handed out less freed by this heap, and their usable bytes. Sums over
    // all heaps are what is live; one heap's may be negative (modulo 2^64).
    struct own_u64 large, huge, large_bytes;
};

// What prewarm.h did to a heap.
struct heap_prewarm {
    bool done;
    uint16_t keep[CLASS_COUNT + 1]; // blocks that hak_heap_trim leaves in the magazine
};

struct heap {
    struct magazine magazines[TAG_COUNT];           // first: class_offset counts from here
    uint16_t class_offset[TABLE_SIZE_MAX / 16 + 1]; // bytes to the magazine for (n + 15) / 16

    // Owner only.
    struct slab *first[CLASS_COUNT + 1]; // slabs with free bits: taken from here ...
    struct slab *last[CLASS_COUNT + 1];  // ... and added here
    struct slab *kept[CLASS_COUNT + 1];  // an empty one kept for the next refill, or NULL
    struct heap_counters counters;
    struct recent recent;                    // large and huge runs
    uint64_t now_ms;                         // the clock when it entered its slow path
    uint64_t trimmed_ms;                     // when hak_heap_trim looked last
    uint64_t refilled_then[CLASS_COUNT + 1]; // counters.refilled at that time
    uint32_t until_sample;                   // allocations until one is sampled (sampled.h)
    struct heap_prewarm prewarm;             // since the last hak_heap_flush_all

    // Any thread.
    struct inbox inbox;
    ON_OWN_LINE struct atomic_u32 state; // enum heap_state
    struct atomic_u32 inside;            // 1 while the owner is inside of the fork gate
    struct heap *next_idle;              // guarded by the lock of heaps.c
};
_Static_assert(offsetof(struct heap, magazines) == 0, "class_offset is relative to the heap");
_Static_assert(sizeof(struct magazine) * TAG_COUNT <= UINT16_MAX, "an offset fits in 16 bits");

// What the hardened flavour keeps with a real heap, behind it in the same piece of memory.
struct heap_extra {
    struct random_source random;
    struct quarantine quarantine;
    struct held held;
    uint32_t swept; // the class at which the next sweep begins, less CLASS_FIRST
};
#define HEAP_HAS_HELD (MITIGATE_QUARANTINE || MITIGATE_GUARDS)
#define HEAP_HAS_EXTRA (HEAP_HAS_HELD || MITIGATE_RANDOM || MITIGATE_SWEEP)
#define HEAP_BYTES (sizeof(struct heap) + (HEAP_HAS_EXTRA ? sizeof(struct heap_extra) : 0))

static inline struct heap_extra *hak_heap_extra(struct heap *h)
{
    return (struct heap_extra *)(h + 1);
}

// Heaps of threads that have none yet, and of threads whose exit handlers have run: every magazine
// is empty and full, so that each call comes to a slow path.
extern struct heap hak_no_heap __attribute__((visibility("hidden")));
extern struct heap hak_late_heap __attribute__((visibility("hidden")));

static inline bool hak_heap_is_real(const struct heap *h)
{
    return h != &hak_no_heap && h != &hak_late_heap;
}

// What the table says of entry i: the magazine of its class. While allocations are sampled that of
// no class, which is always empty, so that each of them comes to the slow path, which counts.
static inline uint16_t hak_heap_offset(size_t i)
{
    unsigned class_index = hak_options.sample != 0 ? TAG_NONE : hak_class_of(i * 16);
    return (uint16_t)(class_index * sizeof(struct magazine));
}

// Prepares a zeroed heap.
void hak_heap_start(struct heap *h);

// Gives the empty magazine of the class more room, up to its limit: each miss makes it larger.
// False if it has no slots at all, for want of metadata memory.
bool hak_heap_grow(struct heap *h, unsigned class_index);

// Refills the empty magazine of the class and pops one block: NULL if `effort` brings nothing.
// *zero: the block's memory reads as zero (classes from ZERO_TRACKED_MIN only).
void *hak_heap_refill(struct heap *h, unsigned class_index, enum pool_effort effort, bool *zero);

// Makes room in the full magazine of the class: it grows, or its oldest half goes to the slabs.
// False if it has no slots at all, for want of metadata memory.
bool hak_heap_make_room(struct heap *h, unsigned class_index);

// Frees one block past the magazine.
void hak_heap_free_one(struct heap *h, unsigned class_index, void *p);

// Makes the empty magazines of a heap that goes idle small again: its next thread starts slowly, as
// one with a new heap does.
void hak_heap_shrink(struct heap *h);

// Flushes all magazines, drains the inbox, releases every empty slab and every kept run.
void hak_heap_flush_all(struct heap *h);

// Flushes half of each magazine that was not refilled since the last call, and the large runs that
// were of no use: a cache that is not needed decays, but for what was prewarmed. Called by the
// owner about once per purge delay.
void hak_heap_trim(struct heap *h);

// Takes back what other threads freed. Returns the number of blocks.
uint32_t hak_heap_drain(struct heap *h);

// Releases the empty slabs that were kept for the next refill.
void hak_heap_release_kept(struct heap *h);

// Moves up to `slabs_max` slabs of the class with free blocks from an idle heap that the caller
// claimed to its own heap. Returns how many.
unsigned hak_heap_adopt(struct heap *to, struct heap *from, unsigned class_index,
                        unsigned slabs_max);

// Blocks in a magazine: exact for its owner, at most its capacity for others.
static inline uint32_t hak_magazine_count(const struct magazine *m)
{
    void **slots = own_load(&m->slots);
    size_t used = (size_t)((void **)own_load(&m->top) - slots) - 1;
    return slots == NULL || used > own_load(&m->capacity) ? 0 : (uint32_t)used;
}

static inline void **hak_magazine_slots(const struct magazine *m)
{
    return own_load(&m->slots);
}

// Pops the newest block; NULL if the magazine is empty.
ALWAYS_INLINE void *hak_magazine_pop(struct magazine *m)
{
    void **top = own_load(&m->top);
    void *p = top[-1]; // the sentinel if empty
    if (likely(p != NULL))
        own_store(&m->top, top - 1);
    return p;
}

// False if the magazine is full.
ALWAYS_INLINE bool hak_magazine_push(struct magazine *m, void *p)
{
    void **top = own_load(&m->top);
    if (unlikely(top == m->limit))
        return false;
    *top = p;
    own_order(); // a fork's snapshot has the slot before the top that counts it
    own_store(&m->top, top + 1);
    return true;
}

// Adds to a counter of the calling thread's heap.
static inline void hak_count(struct own_u64 *counter, uint64_t n)
{
    own_store(counter, own_load(counter) + n);
}

// Lists and magazines are consistent: slabs of the right class and owner, counts in range. The
// owner, or anyone at a quiescent point.
bool hak_heap_ok(const struct heap *h);

#endif

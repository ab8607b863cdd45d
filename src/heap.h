// heap.h: one thread's front: a magazine per class, its slabs, its inbox.
//
// A heap is used by one thread at a time, its owner: the thread that borrowed it, or one that
// claimed it while it was idle (heaps.h). Everything here is called by the owner, inside of the
// fork gate (attach.h), unless said otherwise.
#ifndef HAK_HEAP_H
#define HAK_HEAP_H

#include <seam/thread.h>

#include "counters.h"
#include "held.h"
#include "magazine.h"
#include "options.h"
#include "pool.h"
#include "quarantine.h"
#include "random.h"
#include "recent.h"
#include "remote.h"

enum heap_state {
    HEAP_BUSY = 0, // a thread has it
    HEAP_IDLE,     // nobody: may be borrowed or claimed for a sweep
    HEAP_SWEPT,    // claimed by a sweeper
};

// What prewarm.h did to a heap.
struct heap_prewarm {
    bool done;
    uint16_t keep[CLASS_COUNT + 1]; // blocks that hak_cache_trim leaves in the magazine
};

// The capacities of a heap's magazines together.
struct room {
    size_t granted;    // bytes that they may hold beyond what each may anyway
    uint32_t looked;   // class whose magazine was looked at last, for one to take capacity from
    uint32_t favoured; // the one class of more than half a unit that has a capacity; 0: none
};

// What the hit paths use.
struct ON_OWN_LINE front {
    struct magazine magazines[TAG_COUNT];           // first: class_offset counts from here
    uint16_t class_offset[TABLE_SIZE_MAX / 16 + 1]; // bytes to the magazine for (n + 15) / 16
    int64_t until_profile; // bytes until one is sampled (profile.h); where there is no heap, < 0
    int64_t until_sample;  // allocations until one is guarded (sampled.h)
};

struct heap {
    struct magazine magazines[TAG_COUNT]; // these four are a struct front
    uint16_t class_offset[TABLE_SIZE_MAX / 16 + 1];
    int64_t until_profile, until_sample;

    // Owner only.
    struct slab *first[CLASS_COUNT + 1]; // slabs with free bits: taken from here ...
    struct slab *last[CLASS_COUNT + 1];  // ... and added here
    struct slab *kept[CLASS_COUNT + 1];  // an empty one kept for the next refill, or NULL
    struct recent recent;                // large and huge runs
    uint64_t now_ms;                     // the clock when it entered its slow path
    uint64_t trimmed_ms;                 // when hak_cache_trim looked last
    struct room room;                    // what its magazines may hold (cache.c)
    uint64_t profile_random;             // where until_profile comes from
    struct heap_prewarm prewarm;         // since the last hak_heap_flush_all

    // Owner only; statistics read it.
    struct own_u32 thread;  // the kernel's id of the thread that has it; 0: none
    struct own_u32 threads; // that had it so far
    struct own_u32 class_counts[CLASS_COUNT + 1]; // hak_heap_counts: 64ths of metadata; 0: none yet
    struct class_counters bare_counts; // of classes without a magazine, for want of metadata memory
    struct heap_counters counters;

    // Any thread.
    struct inbox inbox;
    ON_OWN_LINE struct atomic_u32 state; // enum heap_state
    struct atomic_u32 inside;            // 1 while the owner is inside of the fork gate
    struct heap *next_idle;              // guarded by the lock of heaps.c
};
_Static_assert(offsetof(struct heap, magazines) == 0 &&
                   offsetof(struct heap, class_offset) == offsetof(struct front, class_offset) &&
                   offsetof(struct heap, until_sample) == offsetof(struct front, until_sample),
               "a heap begins with its front; class_offset is relative to both");
_Static_assert(sizeof(struct magazine) * TAG_COUNT <= UINT16_MAX, "an offset fits in 16 bits");

// What the hardened flavour keeps with a real heap, behind it in the same piece of memory.
struct heap_extra {
    struct random_source random;
    struct quarantine quarantines[2]; // of short blocks, of longer ones
    struct held held;
    uint32_t swept; // the class at which the next sweep begins, less CLASS_FIRST
};
#define HEAP_HAS_HELD (!KEEPS_RECENT)
#define HEAP_HAS_EXTRA (HEAP_HAS_HELD || MITIGATE_RANDOM || MITIGATE_SWEEP)
#define HEAP_BYTES (sizeof(struct heap) + (HEAP_HAS_EXTRA ? sizeof(struct heap_extra) : 0))

static inline struct heap_extra *hak_heap_extra(struct heap *h)
{
    return (struct heap_extra *)(h + 1);
}

// Behind all that, where requests are watched (watched.h): for each class of the table what looks
// like the top of an empty magazine, and with the next one like a full one. The table then names
// these, so each request comes to the slow path, and the place says of which class. [0]: of any.
#define DECOYS (TABLE_CLASS_LAST + 2u)
struct decoys {
    struct own_ptr of[DECOYS]; // never written after the start
};
#define HEAP_DECOYS HEAP_BYTES
#define DECOYS_PER_MAGAZINE (sizeof(struct magazine) / sizeof(struct own_ptr))
_Static_assert(HEAP_DECOYS % sizeof(struct own_ptr) == 0, "they are aligned");
_Static_assert(HEAP_DECOYS + sizeof(struct decoys) <= UINT16_MAX, "an offset fits in 16 bits");

static inline struct decoys *hak_heap_decoys(const struct heap *h)
{
    return (struct decoys *)((uintptr_t)h + HEAP_DECOYS);
}

static inline bool hak_heap_has_decoys(void)
{
    return hak_options.sample != 0 || hak_options.profile != 0 || hak_options.count_hits != 0;
}

// Block `i` of HEAP_WAITING_MAX that wait in its quarantines, or NULL: for statistics and audits.
#define HEAP_WAITING_MAX (2 * QUARANTINE_BLOCKS_MAX)
static inline void *hak_heap_waiting(struct heap *h, uint32_t i)
{
    const struct quarantine *q = &hak_heap_extra(h)->quarantines[i / QUARANTINE_BLOCKS_MAX];
    return hak_quarantine_at(q, i % QUARANTINE_BLOCKS_MAX);
}

// In place of the heap of threads that have none yet, and of threads whose exit handlers have run:
// a front alone, so that each call comes to a slow path. Every magazine is full; the one where the
// table sends all sizes, of no class, is empty. The others have no memory to pop from.
#define TAG_OF_NO_HEAP TAG_PROFILED
// clang-format off
#define NO_FRONT                                                                    \
    {                                                                               \
        .magazines = { [TAG_NONE] = NO_MAGAZINE, [TAG_OF_NO_HEAP] = NO_MAGAZINE },  \
        .class_offset = { [0 ... TABLE_SIZE_MAX / 16] =                             \
                              TAG_OF_NO_HEAP * sizeof(struct magazine) },           \
        .until_profile = -1,                                                        \
    }
// clang-format on
extern const struct front hak_no_front __attribute__((visibility("hidden")));
extern const struct front hak_late_front __attribute__((visibility("hidden")));
#define hak_no_heap ((struct heap *)&hak_no_front)
#define hak_late_heap ((struct heap *)&hak_late_front)

static inline bool hak_heap_is_real(const struct heap *h)
{
    return h != hak_no_heap && h != hak_late_heap;
}

// The calling thread's id, by its heap or whatever it has. The kernel is asked only without one.
static inline uint32_t hak_heap_thread(const struct heap *h)
{
    return h != NULL && hak_heap_is_real(h) ? own_load(&h->thread) : hak_thread_id();
}

// What the table says of entry i: the magazine of its class, or a decoy. Only while the profile
// watches alone it is the decoy of the class; a request of no bytes counts as one, so not of it.
static inline uint16_t hak_heap_offset(size_t i)
{
    unsigned class_index = hak_class_of(i * 16);
    if (!hak_heap_has_decoys())
        return (uint16_t)(class_index * sizeof(struct magazine));
    bool of_class = !MITIGATE_BLOCKS && hak_options.sample == 0 && hak_options.count_hits == 0;
    unsigned decoy = of_class && i != 0 ? class_index : 0;
    return (uint16_t)(HEAP_DECOYS + decoy * sizeof(struct own_ptr));
}

// Whether what a table says is the magazine of a class, so of a heap whose requests nobody watches:
// not a decoy, nor what stands there for threads without a heap.
static inline bool hak_heap_is_magazine(size_t offset)
{
    return offset <= CLASS_LAST * sizeof(struct magazine);
}

static inline unsigned hak_heap_class_at(size_t magazine_offset)
{
    return (unsigned)(magazine_offset / sizeof(struct magazine));
}

// The magazine of a decoy's class; of decoy 0 one that is always empty.
static inline struct magazine *hak_heap_behind(struct heap *h, size_t decoy_offset)
{
    return (struct magazine *)((char *)h + (decoy_offset - HEAP_DECOYS) * DECOYS_PER_MAGAZINE);
}

// Prepares a zeroed heap, of HEAP_BYTES and where requests are watched its decoys.
void hak_heap_start(struct heap *h);

// Refills the empty magazine of the class and pops one block: NULL if `effort` brings nothing.
// *zero: the block's memory reads as zero (classes from ZERO_TRACKED_MIN only).
void *hak_heap_refill(struct heap *h, unsigned class_index, enum pool_effort effort, bool *zero);

// Gives the `count` oldest blocks of the magazine to their slabs.
void hak_heap_flush(struct heap *h, unsigned class_index, uint32_t count);

// The same within a slow path that has looked at the magazine and will do so after it.
void hak_heap_flush_within(struct heap *h, unsigned class_index, uint32_t count);

// Frees one block past the magazine.
void hak_heap_free_one(struct heap *h, unsigned class_index, void *p);

// Flushes all magazines, drains the inbox, releases every empty slab and every kept run.
void hak_heap_flush_all(struct heap *h);

// Takes back what other threads freed. Returns the number of blocks.
uint32_t hak_heap_drain(struct heap *h);

// Releases the empty slabs that were kept for the next refill.
void hak_heap_release_kept(struct heap *h);

// Moves up to `slabs_max` slabs of the class with free blocks from an idle heap that the caller
// claimed to its own heap. Returns how many.
unsigned hak_heap_adopt(struct heap *to, struct heap *from, unsigned class_index,
                        unsigned slabs_max);

// What the heap counts of the class. Any thread.
static inline struct class_counters *hak_heap_counts(struct heap *h, unsigned class_index)
{
    size_t place = own_load(&h->class_counts[class_index]);
    return place == 0 ? &h->bare_counts
                      : (struct class_counters *)(hak_arena.meta + place * META_CHUNK_MIN);
}

// Around a slow path of malloc or free that changes the magazine of a class, which holds `count`
// blocks. Before: blocks that have left it since the last slow path were handed out, as far as
// their places were not filled again. (With count_hits each malloc counts itself, and nothing is
// left to find out.)
static inline void hak_heap_before(struct class_counters *n, uint32_t count)
{
    uint32_t left = own_load(&n->left);
    if (left > count)
        hak_count(&n->malloc_hits, left - count);
}

static inline void hak_heap_after(struct class_counters *n, uint32_t count)
{
    own_store(&n->left, hak_options.count_hits != 0 ? 0 : count);
}

// Lists and magazines are consistent: slabs of the right class and owner, counts in range. The
// owner, or anyone at a quiescent point.
bool hak_heap_ok(const struct heap *h);

#endif

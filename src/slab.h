// slab.h: the record of a unit, and what its owner does with it.
//
// A record describes the run of units that begins at its unit: a slab of blocks of one class, a
// large block or a huge block. Records of a slab's other units only say how far back it begins;
// those of a large or huge block are not touched, and say SLAB_NONE.
// Records lie in a table of their own, apart from user memory.
#ifndef HAK_SLAB_H
#define HAK_SLAB_H

#include <seam/atomics.h>

#include "arena.h"
#include "check.h"
#include "sizeclass.h"

enum slab_state {
    SLAB_NONE = 0, // not the head of a run
    SLAB_ACTIVE,   // blocks of a size class
    SLAB_LARGE,    // one large block
    SLAB_HUGE,     // one huge block
};

// Where the owner keeps a slab.
enum slab_place {
    PLACE_FULL = 0, // no free bit known: in no list
    PLACE_PARTIAL,  // in the owner's list of its class
};

// What `live` of a large or huge block is while it is handed out; otherwise 0.
enum { LIVE_PLAIN = 1, LIVE_PROFILED = 2 }; // LIVE_PROFILED: the profile knows of it

struct slab {
    // Written by whoever claimed the units, before any block of them is handed out; immutable until
    // the run is released. Read by every thread that frees a block of it.
    struct own_u32 state; // enum slab_state
    struct own_u32 class_index;
    struct own_u32 units;
    struct own_u32 blocks;
    struct own_u32 back; // units back to the head of the run; 0 in the head

    // Owner only (statistics read the counts).
    struct own_u32 free_blocks; // set bits of `free`
    struct own_u32 handed;      // blocks below this index were handed out once
    uint32_t place;             // enum slab_place
    struct slab *next, *prev;   // in the owner's list; next: in a list of held blocks
    struct own_u64 touched;     // classes from ZERO_TRACKED_MIN: blocks that may not be zero

    // Large and huge blocks: bytes that the user may use. Holder of the block only. (`touched` is
    // the length of the guard at the end of its units, bytes; `handed` that of the one before its
    // units, units; `place` the number of guards there are.)
    struct own_u64 bytes;

    // Any thread, atomic.
    ON_OWN_LINE struct atomic_ptr owner; // struct inbox of the owner heap; see remote.h
    struct atomic_ptr link;              // next in an inbox: its token's holder only
    struct atomic_u32 pending;           // the token of remote.h: 1 while someone holds it
    struct atomic_u32 live;              // large and huge: LIVE_* while the block is handed out
    // Large and huge, with held.h: bytes from their begin on that may be in memory; what lies
    // behind reads as zero. While the block is handed out its own need not be counted. Holder only.
    // (Of a slab whose blocks are taken at random: the word that the latest came from. Owner only.)
    struct own_u64 reached;

    // The first words of its bitmaps: see hak_slab_free_word and hak_slab_remote_word.
    ON_OWN_LINE struct own_u64 near_free[RECORD_WORDS];
    struct atomic_u64 near_remote[RECORD_WORDS];
};
_Static_assert(sizeof(struct slab) == RECORD_SIZE, "arena.c reserves RECORD_SIZE per unit");

static inline struct slab *hak_slab_at(uint32_t unit)
{
    return (struct slab *)(hak_arena.records + (size_t)unit * RECORD_SIZE);
}

static inline uint32_t hak_slab_unit(const struct slab *s)
{
    return (uint32_t)((size_t)((const char *)s - hak_arena.records) / RECORD_SIZE);
}

// Where word `w` of a bitmap lies in the table of those that its record has no room for. Per
// SuperSlab: the second lines of all units, then the third ones and so on; remote ones behind all
// free ones. So a slab of few blocks more than a record holds shares its pages with its neighbours.
static inline uint64_t *hak_slab_far_word(const struct slab *s, unsigned w, bool remote)
{
    uint32_t unit = hak_slab_unit(s);
    size_t line = (remote * FAR_LINES + w / RECORD_WORDS - 1) * SUPERSLAB_UNITS +
                  unit % SUPERSLAB_UNITS;
    char *superslab = hak_arena.far_words + unit / SUPERSLAB_UNITS * (SUPERSLAB_UNITS * FAR_SIZE);
    return (uint64_t *)superslab + line * RECORD_WORDS + w % RECORD_WORDS;
}

// Word `w` of the free bitmap: 1 = free, in the slab. Owner only.
static inline struct own_u64 *hak_slab_free_word(const struct slab *s, unsigned w)
{
    return likely(w < RECORD_WORDS) ? (struct own_u64 *)&s->near_free[w]
                                    : (struct own_u64 *)hak_slab_far_word(s, w, false);
}

// Word `w` of the remote bitmap: 1 = freed by another thread. Any thread.
static inline struct atomic_u64 *hak_slab_remote_word(const struct slab *s, unsigned w)
{
    return likely(w < RECORD_WORDS) ? (struct atomic_u64 *)&s->near_remote[w]
                                    : (struct atomic_u64 *)hak_slab_far_word(s, w, true);
}

static inline char *hak_slab_base(const struct slab *s)
{
    return hak_unit_base(hak_slab_unit(s));
}

// The record that describes the slab around a unit whose tag is a size class.
static inline struct slab *hak_slab_of_unit(uint32_t unit)
{
    return hak_slab_at(unit - own_load(&hak_slab_at(unit)->back));
}

// Units before a large or huge block that belong to it: its first guard.
static inline uint32_t hak_slab_lead(const struct slab *s)
{
    return MITIGATE_GUARDS ? own_load(&s->handed) : 0;
}

static inline unsigned hak_slab_words(const struct slab *s)
{
    return (own_load(&s->blocks) + 63) / 64;
}

static inline bool hak_slab_is_empty(const struct slab *s)
{
    return own_load(&s->free_blocks) == own_load(&s->blocks);
}

// Makes the claimed units a slab of the class, all blocks free, not handed out. `zero`: its memory
// reads as zero. Does not touch what remote.h owns. Caller holds the token (or no life was before).
void hak_slab_begin(struct slab *s, unsigned class_index, uint32_t units, bool zero);

// Ends the life of the run: state and tags say that nothing is here.
void hak_slab_end(struct slab *s);

// Makes the claimed units a large or huge block of `bytes`.
void hak_slab_begin_block(struct slab *s, enum slab_state state, uint32_t units, size_t bytes);

// Takes up to `want` free blocks, lowest first, into out[]: the lowest last, so that a stack pops
// ascending addresses. Returns how many. Owner only.
uint32_t hak_slab_take(struct slab *s, void **out, uint32_t want);

// As hak_slab_take, but random ones, of those with a bit in `among` (of each word of 64 blocks):
// each near the lowest one of its word, so that a stack pops about ascending addresses. A word goes
// on with the next call until it has none left; then comes a random one.
struct random_source;
uint32_t hak_slab_take_random(struct slab *s, void **out, uint32_t want, uint64_t among,
                              struct random_source *random);

// As hak_slab_take_untouched, but a random one.
void *hak_slab_take_untouched_random(struct slab *s, struct random_source *random);

// For classes from ZERO_TRACKED_MIN: takes only blocks that were used before, ...
uint32_t hak_slab_take_touched(struct slab *s, void **out, uint32_t want);
// ... and one that was not: its memory reads as zero. NULL if there is none.
void *hak_slab_take_untouched(struct slab *s);

// Bits of one word that stand for blocks of the slab.
uint64_t hak_slab_possible(const struct slab *s, unsigned word);

// Sets free bits of one word. Returns those of `bits` that were set already: freed twice.
uint64_t hak_slab_give(struct slab *s, unsigned word, uint64_t bits);

// Index of the block that begins at p; UINT32_MAX if none does (p is misaligned or in the tail).
uint32_t hak_slab_index(const struct slab *s, const void *p);

// Whether a block begins at p, which lies in a slab of the class. For paths that are called as
// often as malloc is: hak_slab_index says the same.
static inline bool hak_slab_begins_at(const void *p, unsigned class_index)
{
    size_t offset = (size_t)((const char *)p - hak_arena.base);
    uint32_t unit = (uint32_t)(offset >> UNIT_SHIFT);
    uint32_t back = own_load(&hak_slab_at(unit)->back);
    offset = (offset & (UNIT_SIZE - 1)) + back * UNIT_SIZE;
    const struct size_class *c = &hak_classes[class_index];
    uint32_t index = hak_class_index(c, offset);
    return index < own_load(&hak_slab_at(unit - back)->blocks) &&
           (size_t)index * c->block_bytes == offset;
}

// Walks the heads of runs in units [*unit, end): the next one, or NULL; *unit moves behind it. Safe
// at any time; while other threads work, what it finds may be old.
struct slab *hak_slab_walk(uint32_t *unit, uint32_t end);

// Counts agree with the bitmaps, nothing beyond `blocks`, no block both free and remote. Owner
// only, at a quiescent point.
bool hak_slab_ok(const struct slab *s);

#endif

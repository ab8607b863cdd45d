// remote.h: frees of blocks by threads that do not own their slab.
//
// A freer sets the blocks' bits in the slab's remote bitmap and sees to it that the slab reaches
// the inbox of its owner; the owner drains its inbox. The token `pending` decides who may link,
// re-own, release or initialise a record: only its holder. Protocol and proof: remote.c.
#ifndef HAK_REMOTE_H
#define HAK_REMOTE_H

#include "slab.h"

// Slabs with remote frees, linked through their records. One per heap; its address is the owner's
// identity. Any thread pushes, only the owner takes.
struct inbox {
    ON_OWN_LINE struct atomic_ptr head;
};

// Whether the slab belongs to the heap of this inbox. A slab that is mine stays mine until I
// release it or, being idle, am swept; so "yes" is stable for the owner, and "no" for all others.
static inline bool hak_remote_is_owner(const struct slab *s, const struct inbox *mine)
{
    return load_relaxed(REMOTE_OWNER_TEST, &s->owner) == mine;
}

// Any thread: marks blocks of one word as freed. Returns those that were marked already.
uint64_t hak_remote_mark(struct slab *s, unsigned word, uint64_t bits);

// Any thread, after its last hak_remote_mark on the slab: tells the owner.
void hak_remote_notify(struct slab *s);

// Owner: takes the whole inbox. The slabs are linked; each goes through hak_remote_settle once.
struct slab *hak_remote_take_all(struct inbox *mine);

// Owner: gives the token of a slab out of the inbox back and takes its remote bits into the free
// bitmap. Returns how many blocks came; *next is the slab after it, or NULL.
uint32_t hak_remote_settle(struct slab *s, struct slab **next);

// Owner (or the claimer of an idle owner): takes the token. False if someone holds it: a push is on
// its way to the owner's inbox, leave the slab alone.
bool hak_remote_try_hold(struct slab *s);

// Holder: makes `mine` the owner of a slab in use, gives the token back and harvests, as settle.
uint32_t hak_remote_adopt(struct slab *s, struct inbox *mine);

// Holder, at the begin of a life of the record: sets the owner and gives the token back.
void hak_remote_begin(struct slab *s, struct inbox *mine);

// Blocks marked and not yet taken back: exact only at a quiescent point.
uint32_t hak_remote_count(const struct slab *s);

#endif

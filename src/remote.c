// remote.c: the remote bitmap, the inbox, and the token between them.
//
//   freer:    remote[w] |= bits ... ; if (exchange(pending, 1) == 0) { push to owner's inbox }
//   owner:    list = exchange(inbox, NULL); for each s: next = s->link;
//             exchange(pending, 0); free[w] |= exchange(remote[w], 0)
//
// Who may do what. `pending` is a token: whoever turned it from 0 to 1 holds it, or the inbox that
// the slab was pushed to does, until someone turns it back to 0. Only the holder reads `owner` to
// notify it, writes `link`, changes `owner`, or releases or begins the record. So a slab is in at
// most one inbox and `owner` cannot change under a notifier. Outside of a life pending is 1: a late
// freer of an old life does nothing; one that comes after the next life has begun notifies the new
// owner for nothing, which is harmless.
//
// Nothing is lost. Let F mark a bit and then find pending == 1. The value it read was replaced, at
// some later time, by a clear C, and C's read-modify-write reads F's exchange or a later one in the
// same release sequence, so F's mark happens before C's harvest, which therefore takes the bit.
// If F found 0 it pushes, and the owner's settle comes after. The clear must be a read-modify-write
// for that argument: a plain store would not synchronise with F.
//
// Blocks' contents: the mark releases what the freer's thread did to the block, the harvest
// acquires it, before the block is handed out again.
//
// A bit marked twice, or marked while free, is a double free of the user; the first is told by
// hak_remote_mark, the second by the harvest, which faults.

#include "remote.h"

#include "fault.h"

uint64_t hak_remote_mark(struct slab *s, unsigned word, uint64_t bits)
{
    // Release: the freer's accesses to the blocks come before their reuse (REMOTE_HARVEST).
    return fetch_or_release(REMOTE_MARK, hak_slab_remote_word(s, word), bits) & bits;
}

static void push(struct inbox *to, struct slab *s)
{
    void *head = load_relaxed(INBOX_HEAD, &to->head);
    for (;;) {
        store_plain(INBOX_LINK_WRITE, &s->link, head);
        if (cas_weak_release(INBOX_PUSH, &to->head, &head, s)) // the drainer reads `link`
            return;
        spin_hint(INBOX_SPIN);
    }
}

void hak_remote_notify(struct slab *s)
{
    // Release: my marks happen before the harvest of whoever clears the token. Acquire: if I got
    // the token, `owner` is the one that its last holder left.
    if (exchange_acq_rel(REMOTE_NOTIFY, &s->pending, 1) == 0)
        push(load_relaxed(REMOTE_OWNER_READ, &s->owner), s);
}

struct slab *hak_remote_take_all(struct inbox *mine)
{
    if (load_relaxed(INBOX_PEEK, &mine->head) == NULL)
        return NULL;
    return exchange_acquire(INBOX_TAKE, &mine->head, NULL); // pairs with INBOX_PUSH
}

// Blocks that were free when someone freed them.
_Noreturn COLD static void fault_twice(const struct slab *s, unsigned word, uint64_t twice)
{
    unsigned class_index = own_load(&s->class_index);
    size_t index = word * 64 + lowest_bit(twice);
    const void *p = hak_slab_base(s) + index * hak_class_bytes(class_index);
    hak_fault(index < own_load(&s->handed) ? FAULT_DOUBLE_FREE : FAULT_NEVER_ALLOCATED, p,
              class_index);
}

// Moves remote bits to free bits. Caller is the owner.
static uint32_t harvest(struct slab *s)
{
    uint32_t count = 0;
    for (unsigned w = 0, words = hak_slab_words(s); w < words; w++) {
        if (load_relaxed(REMOTE_HARVEST_PEEK, hak_slab_remote_word(s, w)) == 0)
            continue;
        // Acquire: pairs with MARK.
        uint64_t bits = exchange_acquire(REMOTE_HARVEST, hak_slab_remote_word(s, w), 0);
        uint64_t twice = bits & ~hak_slab_possible(s, w); // marked in an old, longer life
        if (likely(twice == 0))
            twice = hak_slab_give(s, w, bits);
        if (mistake(twice != 0))
            fault_twice(s, w, twice);
        count += (uint32_t)__builtin_popcountll(bits);
    }
    return count;
}

uint32_t hak_remote_settle(struct slab *s, struct slab **next)
{
    *next = load_plain(INBOX_LINK_READ, &s->link); // before the token goes: then others may link
    // Acquire: the marks of freers that found the token taken. Release: my read of the link comes
    // before the next holder writes it.
    exchange_acq_rel(REMOTE_SETTLE, &s->pending, 0);
    return harvest(s);
}

bool hak_remote_try_hold(struct slab *s)
{
    // Relaxed: a 0 was left by an owner, and that is me, or one whose heap I have acquired. A
    // read-modify-write, so that a later clear still synchronises with freers before me.
    return exchange_relaxed(REMOTE_HOLD, &s->pending, 1) == 0;
}

uint32_t hak_remote_adopt(struct slab *s, struct inbox *mine)
{
    store_relaxed(REMOTE_ADOPT_OWNER, &s->owner, mine);
    // Release: the new owner, to the next notifier. Acquire: as REMOTE_SETTLE.
    exchange_acq_rel(REMOTE_ADOPT, &s->pending, 0);
    return harvest(s);
}

void hak_remote_begin(struct slab *s, struct inbox *mine)
{
    // A mark that is there already is a double free in the old life that came after its end.
    for (unsigned w = 0, words = hak_slab_words(s); w < words; w++) {
        uint64_t stale = load_relaxed(REMOTE_BEGIN_PEEK, hak_slab_remote_word(s, w));
        if (mistake(stale != 0))
            fault_twice(s, w, stale);
    }
    store_relaxed(REMOTE_BEGIN_OWNER, &s->owner, mine);
    // Release: owner and record, to a late freer of an old life that wins the token from now on. No
    // acquire: the marks of those that came before were harvested before that life ended.
    exchange_release(REMOTE_BEGIN, &s->pending, 0);
}

uint32_t hak_remote_count(const struct slab *s)
{
    uint32_t count = 0;
    for (unsigned w = 0, words = hak_slab_words(s); w < words; w++)
        count += (uint32_t)__builtin_popcountll(
            load_relaxed(REMOTE_COUNT, hak_slab_remote_word(s, w)));
    return count;
}

// meta.c: metadata memory: a bump pointer, and one free list per power of two.
//
//   |used pieces ...|committed, never used|reserved, PROT_NONE ...|
//   ^ meta          ^ used                ^ committed
//
// Invariants: used <= committed <= hak_arena.meta_bytes; a piece is a power of two of at least
// META_CHUNK_MIN bytes; a piece on free list k has META_CHUNK_MIN << k bytes, its first word is the
// link. Everything is guarded by `meta.lock`.

#include "meta.h"

#include <seam/lock.h>
#include <seam/os.h>

#include "arena.h"

#define META_SIZES 16u
#define META_COMMIT_STEP ((size_t)64 << 10)

struct piece {
    struct piece *next;
};

static struct {
    struct lock lock;
    size_t used;
    struct own_u64 committed;
    struct piece *free[META_SIZES];
} meta = { .lock = LOCK_INIT(RANK_META) };

const struct lock *hak_meta_lock(void)
{
    return &meta.lock;
}

static unsigned size_index(size_t bytes)
{
    return bytes <= META_CHUNK_MIN ? 0 : highest_bit(bytes - 1) + 1 - lowest_bit(META_CHUNK_MIN);
}

void hak_meta_start(void)
{
    lock_acquire(&meta.lock);
    meta.used = 0;
    own_store(&meta.committed, 0);
    for (unsigned i = 0; i < META_SIZES; i++)
        meta.free[i] = NULL;
    lock_release(&meta.lock);
}

// Caller holds the lock.
static void *bump(size_t bytes)
{
    size_t committed = own_load(&meta.committed);
    size_t end = meta.used + bytes;
    if (end > hak_arena.meta_bytes)
        return NULL;
    if (end > committed) {
        size_t step = round_up(max_size(end - committed, META_COMMIT_STEP), os_page_size());
        step = min_size(step, hak_arena.meta_bytes - committed);
        if (!hak_arena_commit_more(hak_arena.meta + committed, step, META_COMMIT_STEP,
                                   hak_arena.meta + hak_arena.meta_bytes))
            return NULL;
        own_store(&meta.committed, committed + step);
    }
    void *p = hak_arena.meta + meta.used;
    meta.used = end;
    return p;
}

void *hak_meta_alloc(size_t bytes)
{
    unsigned index = size_index(bytes);
    if (index >= META_SIZES)
        return NULL;
    size_t piece_bytes = META_CHUNK_MIN << index;
    lock_acquire(&meta.lock);
    struct piece *used = meta.free[index];
    void *p = used;
    if (used != NULL)
        meta.free[index] = used->next;
    else
        p = bump(piece_bytes); // zero: never used since it was committed
    lock_release(&meta.lock);
    if (used != NULL)
        __builtin_memset(used, 0, piece_bytes);
    return p;
}

void *hak_meta_alloc_untouched(size_t bytes)
{
    lock_acquire(&meta.lock);
    void *p = bump(META_CHUNK_MIN << size_index(bytes));
    lock_release(&meta.lock);
    return p;
}

void hak_meta_free(void *p, size_t bytes)
{
    unsigned index = size_index(bytes);
    struct piece *piece = p;
    lock_acquire(&meta.lock);
    piece->next = meta.free[index];
    meta.free[index] = piece;
    lock_release(&meta.lock);
}

size_t hak_meta_bytes(void)
{
    return own_load(&meta.committed);
}

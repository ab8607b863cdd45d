// mapped.c: a hash table of mappings, under one lock.
//
//   cells:  [ (base, bytes, usable) | empty | ... ]              open addressing, linear probing
//
//   2 * (used + removed) <= capacity, so that a probe ends at an empty cell;  base == NULL: empty;
//   bytes == 0: removed: what was freed there is remembered until the table is made anew
//
// The registry exists for blocks that the arena cannot hold: few and big, so one lock and a system
// call each are the smaller cost. `live` is read without the lock: zero answers "is it ours?" for
// foreign pointers; whoever holds a pointer to a block was handed it after `live` counted it.

#include "mapped.h"

#include <seam/lock.h>
#include <seam/os.h>
#include <seam/sanitizer.h>

#include "check.h"
#include "harden.h"
#include "meta.h"

#define CELLS_START 64u
#define REMOVED ((void *)1) // of a removed cell: no block

struct cell {
    void *base;
    size_t bytes;  // of the mapping
    size_t usable; // of them by the user
};

static struct {
    struct lock lock; // rank RANK_REGISTRY: guards all but `live` and `freed`
    struct cell *cells;
    size_t capacity, used, removed; // cells; a power of two, or 0
    struct own_u64 bytes;           // written under the lock, read without it
    struct atomic_u64 live, freed;
} registry = { .lock = LOCK_INIT(RANK_REGISTRY) };

const struct lock *hak_mapped_lock(void)
{
    return &registry.lock;
}

void hak_mapped_start(void)
{
    registry.cells = NULL;
    registry.capacity = registry.used = registry.removed = 0;
    own_store(&registry.bytes, 0);
    init_cell(&registry.live, 0);
    init_cell(&registry.freed, 0);
}

static size_t home_of(const void *base, size_t capacity)
{
    // Fibonacci hashing (Knuth, The Art of Computer Programming, volume 3, section 6.4).
    return (size_t)(((uintptr_t)base >> 12) * 0x9e3779b97f4a7c15ull >> 20) & (capacity - 1);
}

// The cell of `base`, or the first empty one of its probe.
static struct cell *probe(struct cell *cells, size_t capacity, const void *base)
{
    size_t i = home_of(base, capacity);
    while (cells[i].base != NULL && (cells[i].base != base || cells[i].bytes == 0))
        i = (i + 1) & (capacity - 1);
    return &cells[i];
}

// Bytes of a mapping for n bytes: a canary has room in it.
static size_t bytes_for(size_t n)
{
    return round_up(max_size(n, 1) + CANARY_BYTES, os_page_size());
}

size_t hak_mapped_usable_for(size_t n)
{
    return MITIGATE_CANARY ? max_size(n, 1) : bytes_for(n);
}

static void check_canary(const void *p, size_t bytes, size_t usable)
{
    if (MITIGATE_CANARY)
        hak_canary_check_behind(p, TAG_HUGE, usable, bytes - usable);
}

static void write_canary(void *p, size_t bytes, size_t usable)
{
    if (MITIGATE_CANARY)
        hak_canary_write_behind(p, usable, bytes - usable);
}

// Caller holds the lock, as for the four below.
static struct cell *find(const void *base)
{
    if (registry.capacity == 0)
        return NULL;
    struct cell *c = probe(registry.cells, registry.capacity, base);
    return c->base == NULL ? NULL : c;
}

// The removed cell of a block that was freed and whose address was not handed out again. NULL:
// none.
static struct cell *find_removed(const void *base)
{
    size_t capacity = registry.capacity;
    for (size_t i = capacity == 0 ? 0 : home_of(base, capacity);
         capacity != 0 && registry.cells[i].base != NULL; i = (i + 1) & (capacity - 1))
        if (registry.cells[i].base == base && registry.cells[i].bytes == 0)
            return &registry.cells[i];
    return NULL;
}

static bool make_room(void)
{
    if (2 * (registry.used + registry.removed + 1) <= registry.capacity)
        return true;
    size_t least = 2 * (registry.used + 1);
    size_t capacity = CELLS_START;
    while (capacity < 2 * least)
        capacity *= 2;
    struct cell *cells = hak_meta_alloc(capacity * sizeof(struct cell));
    if (cells == NULL && capacity / 2 >= least) // fuller, but without the removed ones
        cells = hak_meta_alloc((capacity /= 2) * sizeof(struct cell));
    if (cells == NULL)
        return false;
    for (size_t i = 0; i < registry.capacity; i++)
        if (registry.cells[i].bytes != 0)
            *probe(cells, capacity, registry.cells[i].base) = registry.cells[i];
    if (registry.cells != NULL)
        hak_meta_free(registry.cells, registry.capacity * sizeof(struct cell));
    registry.cells = cells;
    registry.capacity = capacity;
    registry.removed = 0;
    return true;
}

// A freed block's address serves again: its removed cell is nobody's.
static void forget(const void *base)
{
    struct cell *c = find_removed(base);
    if (c != NULL)
        c->base = REMOVED;
}

static bool insert(void *base, size_t bytes, size_t usable)
{
    if (!make_room())
        return false;
    forget(base);
    *probe(registry.cells, registry.capacity, base) = (struct cell){ base, bytes, usable };
    registry.used++;
    own_store(&registry.bytes, own_load(&registry.bytes) + bytes);
    return true;
}

static void take_out(struct cell *c)
{
    own_store(&registry.bytes, own_load(&registry.bytes) - c->bytes);
    c->bytes = 0;
    registry.used--;
    registry.removed++;
}

void *hak_mapped_alloc(size_t n, size_t align)
{
    size_t page = os_page_size();
    size_t bytes = bytes_for(n), usable = hak_mapped_usable_for(n);
    void *p = os_reserve(bytes, max_size(align, page));
    if (p == NULL)
        return NULL;
    bool ok = os_commit(p, bytes);
    if (ok) {
        lock_acquire(&registry.lock);
        ok = insert(p, bytes, usable);
        lock_release(&registry.lock);
    }
    if (!ok) {
        os_release(p, bytes);
        return NULL;
    }
    fetch_add_relaxed(MAPPED_COUNT, &registry.live, 1);
    write_canary(p, bytes, usable);
    sanitize_take(p, n, bytes);
    return p;
}

size_t hak_mapped_usable(const void *p)
{
    if (load_relaxed(MAPPED_ANY_USABLE, &registry.live) == 0)
        return 0;
    lock_acquire(&registry.lock);
    struct cell *c = find(p);
    size_t bytes = c == NULL ? 0 : c->usable;
    lock_release(&registry.lock);
    return bytes;
}

bool hak_mapped_free(void *p)
{
    if (load_relaxed(MAPPED_ANY_FREE, &registry.live) == 0)
        return false;
    lock_acquire(&registry.lock);
    struct cell *c = find(p);
    size_t bytes = c == NULL ? 0 : c->bytes, usable = c == NULL ? 0 : c->usable;
    if (c != NULL)
        take_out(c);
    lock_release(&registry.lock);
    if (bytes == 0)
        return false;
    fetch_add_relaxed(MAPPED_UNCOUNT, &registry.live, (uint64_t)-1);
    fetch_add_relaxed(MAPPED_FREED, &registry.freed, 1);
    check_canary(p, bytes, usable);
    sanitize_gone(p, bytes);
    if (!os_release(p, bytes))
        os_decommit(p, bytes); // the address space is lost, the memory is not
    return true;
}

bool hak_mapped_was_freed(const void *p)
{
    if (load_relaxed(MAPPED_WAS_FREED, &registry.freed) == 0)
        return false;
    lock_acquire(&registry.lock);
    bool found = find_removed(p) != NULL;
    lock_release(&registry.lock);
    return found && (MITIGATE_POINTERS || !os_is_mapped(p));
}

void *hak_mapped_resize(void *p, size_t n)
{
    size_t bytes = bytes_for(n), usable = hak_mapped_usable_for(n);
    lock_acquire(&registry.lock);
    struct cell *c = find(p);
    size_t old_bytes = c != NULL ? c->bytes : 0, old_usable = c != NULL ? c->usable : 0;
    if (c != NULL)
        check_canary(p, old_bytes, old_usable);
    // Room first: after the move nothing may fail.
    void *to = c != NULL && make_room() ? os_extend(p, old_bytes, bytes) : NULL;
    if (to != NULL) {
        c = find(p); // make_room may have moved it
        HAK_ASSERT(c != NULL);
        take_out(c);
        bool ok = insert(to, bytes, usable);
        HAK_ASSERT(ok);
        (void)ok;
    }
    lock_release(&registry.lock);
    if (MITIGATE_CANARY && to != NULL) {
        size_t from = min_size(usable, old_usable), end = min_size(bytes, old_bytes);
        __builtin_memset((char *)to + from, 0, end > from ? end - from : 0);
        write_canary(to, bytes, usable);
    }
    if (to == p)
        sanitize_take_more(to, n, bytes);
    if (to != NULL && to != p) {
        sanitize_gone(p, old_bytes);
        sanitize_take(to, n, bytes);
        sanitize_defined(to, n);
    }
    return to;
}

bool hak_mapped_any(void)
{
    return load_relaxed(MAPPED_ANY, &registry.live) != 0 ||
           load_relaxed(MAPPED_ANY_FREED, &registry.freed) != 0;
}

uint64_t hak_mapped_count(void)
{
    return load_relaxed(MAPPED_STATS, &registry.live);
}

size_t hak_mapped_bytes(void)
{
    return own_load(&registry.bytes);
}

bool hak_mapped_ok(void)
{
    size_t used = 0, removed = 0, bytes = 0;
    for (size_t i = 0; i < registry.capacity; i++) {
        const struct cell *c = &registry.cells[i];
        used += c->bytes != 0;
        removed += c->base != NULL && c->bytes == 0;
        bytes += c->bytes;
    }
    return used == registry.used && removed == registry.removed &&
           bytes == own_load(&registry.bytes) &&
           2 * (used + removed) <= registry.capacity + (registry.capacity == 0 ? 2 : 0);
}

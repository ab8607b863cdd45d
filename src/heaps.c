// heaps.c: the table of heaps and the stack of idle ones.
//
//   table:  [h0|h1|h2| ... ]   grows, never shrinks         state: BUSY -> IDLE -> BUSY
//   idle:   h2 -> h0           under the lock                       IDLE -> SWEPT -> IDLE
//   ready:  h1                 the same, prewarmed: for threads that begin
//
// A heap is on the idle stack from the moment its thread returned it until a thread borrows it;
// a sweeper claims it by its state alone and leaves it on the stack. Whoever turned the state from
// IDLE to something else owns the heap until it turns it back: the turn back releases, the turn
// away acquires everything that the heap's last owner did.
//
// A borrower that meets a heap that is being swept takes the next one or makes a new one: it never
// waits for another thread.

#include "heaps.h"

#include <seam/lock.h>
#include <seam/os.h>
#include <seam/thread.h>

#include "cache.h"
#include "meta.h"
#include "prewarm.h"

static struct {
    struct lock lock;        // rank RANK_HEAPS: guards both stacks, growth of the table
    struct heap *idle;       // stack, linked by next_idle
    struct heap *ready;      // the same, of heaps that were prewarmed when they were put there
    uint32_t ready_count;    // of them, and of heaps that are being prewarmed for it
    struct atomic_u32 count; // heaps in the table
    struct atomic_u32 idle_count;
    struct atomic_u32 rotor; // next heap to sweep
    struct atomic_u64 guest_frees;
} heaps = { .lock = LOCK_INIT(RANK_HEAPS) };

// Apart from the initialised data, so that only the pages in use exist.
static struct atomic_ptr table[HEAPS_MAX];

void hak_heaps_start(void)
{
    heaps.idle = heaps.ready = NULL;
    heaps.ready_count = 0;
    init_cell(&heaps.count, 0);
    init_cell(&heaps.idle_count, 0);
    init_cell(&heaps.rotor, 0);
    init_cell(&heaps.guest_frees, 0);
}

uint32_t hak_heaps_count(void)
{
    return load_acquire(HEAPS_COUNT, &heaps.count); // pairs with HEAPS_ADD
}

uint32_t hak_heaps_idle(void)
{
    return load_relaxed(HEAPS_IDLE_COUNT, &heaps.idle_count);
}

void hak_heaps_count_guest_free(void)
{
    tally(GUEST_FREE, &heaps.guest_frees);
}

uint64_t hak_heaps_guest_frees(void)
{
    return load_relaxed(GUEST_FREES_READ, &heaps.guest_frees);
}

const struct lock *hak_heaps_lock(void)
{
    return &heaps.lock;
}

struct heap *hak_heaps_at(uint32_t index)
{
    return load_relaxed(HEAPS_TABLE_READ, &table[index]);
}

const void *hak_heaps_count_at(void)
{
    return &heaps.count;
}

const void *hak_heaps_table_at(void)
{
    return table;
}

// Takes the first heap that is not being swept off the stack. Caller holds the lock.
static struct heap *take(struct heap **stack)
{
    struct heap *previous = NULL;
    for (struct heap *h = *stack; h != NULL; previous = h, h = h->next_idle) {
        uint32_t expected = HEAP_IDLE;
        // Acquire: all that the last owner did, pairs with HEAP_RETURN and SWEEP_DONE.
        if (!cas_strong_acquire(HEAP_BORROW, &h->state, &expected, HEAP_BUSY))
            continue;
        if (previous != NULL)
            previous->next_idle = h->next_idle;
        else
            *stack = h->next_idle;
        fetch_add_relaxed(HEAPS_IDLE_MINUS, &heaps.idle_count, (uint32_t)-1);
        return h;
    }
    return NULL;
}

// Caller holds the lock.
static struct heap *make(void)
{
    uint32_t count = load_relaxed(HEAPS_COUNT_MAKE, &heaps.count);
    size_t bytes = HEAP_BYTES + (hak_heap_has_decoys() ? sizeof(struct decoys) : 0);
    struct heap *h = count < HEAPS_MAX ? hak_meta_alloc(bytes) : NULL;
    if (h == NULL)
        return NULL;
    hak_heap_start(h);
    store_relaxed(HEAPS_TABLE_WRITE, &table[count], h);
    store_release(HEAPS_ADD, &heaps.count, count + 1); // the heap and its entry
    return h;
}

// Caller holds the lock.
static struct heap *take_ready(void)
{
    struct heap *h = take(&heaps.ready);
    if (h != NULL)
        heaps.ready_count--;
    return h;
}

// Notes that the calling thread has it.
static struct heap *lend(struct heap *h)
{
    own_store(&h->thread, hak_thread_id());
    own_store(&h->threads, own_load(&h->threads) + 1);
    return h;
}

struct heap *hak_heaps_borrow(void)
{
    lock_acquire(&heaps.lock);
    struct heap *h = take(&heaps.idle);
    if (h == NULL)
        h = make();
    if (h == NULL)
        h = take_ready();
    lock_release(&heaps.lock);
    return h != NULL ? lend(h) : NULL;
}

static bool prewarm(struct heap *h)
{
    h->now_ms = os_clock_ms();
    return hak_prewarm(h);
}

struct heap *hak_heaps_borrow_ready(void)
{
    lock_acquire(&heaps.lock);
    struct heap *h = take_ready();
    lock_release(&heaps.lock);
    h = h != NULL ? lend(h) : hak_heaps_borrow();
    if (h != NULL && !h->prewarm.done)
        prewarm(h);
    return h;
}

// Caller owns the heap, and counted it in ready_count if it is prewarmed.
static void push_idle(struct heap *h)
{
    struct heap **stack = h->prewarm.done ? &heaps.ready : &heaps.idle;
    own_store(&h->thread, 0);
    lock_acquire(&heaps.lock);
    h->next_idle = *stack;
    *stack = h;
    fetch_add_relaxed(HEAPS_IDLE_PLUS, &heaps.idle_count, 1);
    store_release(HEAP_RETURN, &h->state, HEAP_IDLE); // to the next borrower or sweeper
    lock_release(&heaps.lock);
}

void hak_heaps_return(struct heap *h)
{
    h->now_ms = WITHOUT_PURGE ? 0 : os_clock_ms();
    hak_heap_flush_all(h);
    hak_cache_restart(h);
    push_idle(h);
}

// Whether one more heap may be ready; it is counted then.
static bool count_ready(void)
{
    lock_acquire(&heaps.lock);
    bool wanted = heaps.ready_count < hak_options.prewarm_threads;
    heaps.ready_count += wanted;
    lock_release(&heaps.lock);
    return wanted;
}

void hak_heaps_return_ready(struct heap *h)
{
    if (!hak_prewarm_is_wanted() || !count_ready()) {
        hak_heaps_return(h);
        return;
    }
    h->now_ms = os_clock_ms();
    hak_heap_flush_all(h);
    prewarm(h);
    push_idle(h);
}

void hak_heaps_make_ready(void)
{
    bool more = hak_prewarm_is_wanted();
    while (more && count_ready()) {
        lock_acquire(&heaps.lock);
        struct heap *h = make();
        heaps.ready_count -= h == NULL;
        lock_release(&heaps.lock);
        if (h == NULL)
            return;
        more = prewarm(h);
        push_idle(h);
    }
}

// Works on one idle heap that the caller claimed. Returns whether it gained anything. What was
// prewarmed stays, unless it is the last resort.
static bool sweep_one(struct heap *mine, struct heap *idle, unsigned class_index, bool last_resort)
{
    uint64_t released = own_load(&idle->counters.released);
    idle->now_ms = mine->now_ms;
    if (idle->prewarm.done && !last_resort)
        hak_heap_drain(idle);
    else
        hak_heap_flush_all(idle); // nothing is in a magazine unless a fork took its thread away
    bool gained = own_load(&idle->counters.released) != released;
    if (class_index != TAG_NONE)
        gained |= hak_heap_adopt(mine, idle, class_index, REFILL_SLABS_MAX) != 0;
    hak_count(&mine->counters.sweeps, 1);
    return gained;
}

bool hak_heaps_sweep(struct heap *mine, unsigned class_index, uint32_t heaps_max)
{
    bool gained = false;
    uint32_t count = hak_heaps_count();
    uint32_t looked_at = 0;
    if (hak_heaps_idle() == 0)
        return false;
    for (uint32_t swept = 0; swept < heaps_max && looked_at < count; looked_at++) {
        uint32_t at = fetch_add_relaxed(SWEEP_ROTOR, &heaps.rotor, 1) % count;
        struct heap *h = hak_heaps_at(at);
        uint32_t expected = HEAP_IDLE;
        if (load_relaxed(SWEEP_PEEK, &h->state) != HEAP_IDLE ||
            !cas_strong_acquire(SWEEP_CLAIM, &h->state, &expected, HEAP_SWEPT)) // as HEAP_BORROW
            continue;
        gained |= sweep_one(mine, h, class_index, heaps_max == HEAPS_MAX);
        store_release(SWEEP_DONE, &h->state, HEAP_IDLE); // to the next borrower or sweeper
        swept++;
    }
    return gained;
}

size_t hak_heaps_purge(struct heap *mine, uint64_t delay_ms, size_t units_max)
{
    size_t units = hak_pool_purge(mine->now_ms, delay_ms, units_max);
    hak_count(&mine->counters.purges, 1);
    hak_count(&mine->counters.purged_units, units);
    return units;
}

void hak_heaps_after_fork(struct heap *mine, bool whole)
{
    if (hak_heap_is_real(mine))
        own_store(&mine->thread, hak_thread_id());
    for (uint32_t i = 0, count = hak_heaps_count(); i < count; i++) {
        struct heap *h = hak_heaps_at(i);
        if (h == mine) // if inside, then of a slow path that a signal handler interrupted
            continue;
        store_relaxed(FORK_INSIDE_RESET, &h->inside, 0);
        if (whole && load_relaxed(FORK_STATE, &h->state) == HEAP_BUSY) {
            h->prewarm.done = false; // its thread was using it
            push_idle(h);
        }
    }
}

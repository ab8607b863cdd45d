// attach.c: set-up, the fork gate, borrowing and returning of heaps.
//
// A thread's life:   no heap --first call--> heap --exit handler--> late --end
//
// Its thread-local word points to hak_no_heap, a heap of its own, or hak_late_heap. After the exit
// handler ran, destructors of other libraries may still call malloc and free, in any order and as
// often as they like: a late thread borrows a heap for each single slow path and returns it at
// once, so nothing depends on a further exit handler and no heap is lost.
//
// The gate. `inside` of a thread's heap is 1 while it is on a slow path; threads without a heap of
// their own (attaching, late, leaving) are counted in `gate.guests`. A fork sets `gate.closed` and
// waits until all are out; one that enters sets its mark, then looks at `closed`. Both sides store,
// then load the other's cell, all four sequentially consistent, so at least one sees the other
// (Dekker): either the thread steps back and waits, or the fork waits for it. `closed` holds the
// identity of the forking thread, which itself may pass: other libraries' fork handlers allocate.
// Hit paths pass no gate: a magazine's top is one word, and what the child inherits of it is a
// prefix of its owner's stores.

#include "attach.h"

#include <seam/lock.h>
#include <seam/os.h>
#include <seam/signals.h>
#include <seam/thread.h>
#include <seam/tls.h>

#include "empty.h"
#include "foreign.h"
#include "harden.h"
#include "heaps.h"
#include "large.h"
#include "layout.h"
#include "mapped.h"
#include "meta.h"
#include "options.h"
#include "prewarm.h"
#include "print.h"
#include "profile.h"
#include "profiled.h"
#include "sampled.h"
#include "stacks.h"

enum { HOOKS_NONE, HOOKS_BUSY, HOOKS_SET };

static struct {
    ON_OWN_LINE struct atomic_ptr closed; // identity of the thread that forks, or NULL
    ON_OWN_LINE struct atomic_u32 guests; // threads inside without a heap of their own
    bool others_out;                      // whether the fork waited; the closing thread's own
    uint32_t nested;                      // forks of its signal handlers within its fork; the same
} gate;

static struct {
    struct lock lock;          // serialises set-up; before any other lock
    bool options_read;         // guarded by it
    struct atomic_u32 started; // 1: everything below this file is set up
    struct atomic_u32 hooks;   // exit and fork hooks: HOOKS_*
} process = { .lock = LOCK_INIT(RANK_START) };

const struct lock *hak_attach_lock(void)
{
    return &process.lock;
}

bool hak_started(void)
{
    return load_acquire(STARTED_READ, &process.started) != 0; // pairs with STARTED_WRITE
}

// Once, also when the arena cannot be had yet. Caller holds the lock.
static void read_options(void)
{
    if (!process.options_read)
        hak_options_read();
    process.options_read = true;
}

static bool start(void)
{
    if (hak_started())
        return true;
    lock_acquire(&process.lock);
    bool ok = load_relaxed(STARTED_AGAIN, &process.started) != 0;
    if (!ok) {
        read_options();
        hak_classes_start((size_t)hak_options.cache_kib << 10);
        ok = hak_arena_start((size_t)hak_options.arena_mib << 20);
        if (ok) {
            if (hak_arena.bytes < ARENA_ROOMY)
                hak_classes_pack();
            if (HAK_MITIGATIONS != 0)
                hak_harden_start();
            if (MITIGATE_EMPTY)
                hak_empty_start();
            hak_meta_start();
            hak_superslabs_start();
            hak_pool_start();
            hak_large_start();
            hak_mapped_start();
            hak_profiled_start();
            hak_heaps_start();
            if (hak_options.sample != 0)
                hak_sampled_start();
            if (hak_options.profile != 0)
                hak_profile_start();
            if (hak_options.count_hits != 0 || hak_profile_interval() != 0)
                own_store(&hak_sampling, 1);
            hak_layout_start();
            if (MITIGATE_SEAL)
                hak_harden_seal();
            store_release(STARTED_WRITE, &process.started, 1); // all of the above
        }
    }
    lock_release(&process.lock);
    return ok;
}

// Statistics at a signal (report.c), unless the program uses it.
static void watch_signal(int number)
{
    char text[96];
    struct printer out;
    enum signal_watched result = signal_watch(number);
    if (result == SIGNAL_WATCHED)
        return;
    hak_print_to_buffer(&out, text, sizeof text);
    hak_put_text(&out, "hakmem: stats_signal ");
    hak_put_decimal(&out, (uint64_t)number);
    hak_put_text(&out, result == SIGNAL_IN_USE ? " is in use by the program: not watched"
                                               : " cannot be watched");
    hak_print_error_line(&out);
}

// Registers the process's hooks once. Runs with a heap and outside of the gate, because the C
// library may allocate meanwhile.
static void set_hooks(void)
{
    uint32_t hooks = HOOKS_NONE;
    if (load_acquire(HOOKS_READ, &process.hooks) == HOOKS_SET)
        return;
    if (cas_strong_relaxed(HOOKS_CLAIM, &process.hooks, &hooks, HOOKS_BUSY)) {
        hak_thread_start(hak_on_thread_exit, hak_before_fork, hak_after_fork_parent,
                         hak_after_fork_child);
        if (hak_options.sample != 0 || hak_options.profile != 0)
            hak_stacks_start();
        if (hak_options.stats_signal != 0)
            watch_signal((int)hak_options.stats_signal);
        store_release(HOOKS_WRITE, &process.hooks, HOOKS_SET); // the key, to HOOKS_READ
        return;
    }
    while (load_acquire(HOOKS_WAIT, &process.hooks) != HOOKS_SET)
        thread_yield(); // the first thread of the process is in hak_thread_start
}

// ---- the gate ----

static bool closed_to_me(void)
{
    const void *by = load_seq_cst(GATE_CLOSED, &gate.closed); // Dekker, with FORK_CLOSE
    return unlikely(by != NULL) && by != tls_self();
}

static void wait_until_open(void)
{
    while (load_relaxed(GATE_WAIT, &gate.closed) != NULL) // GATE_CLOSED looks again
        thread_yield(); // a fork takes milliseconds and waits for no one who waits here
}

void hak_enter_as_guest(void)
{
    for (;;) {
        fetch_add_seq_cst(GUEST_ENTER, &gate.guests, 1); // Dekker, with FORK_GUESTS
        if (!closed_to_me())
            return;
        fetch_add_relaxed(GUEST_BACK, &gate.guests, (uint32_t)-1);
        wait_until_open();
    }
}

void hak_leave_as_guest(void)
{
    fetch_sub_release(GUEST_LEAVE, &gate.guests, 1); // all that was done, to FORK_GUESTS
}

static void enter_with(struct heap *h)
{
    for (;;) {
        exchange_seq_cst(GATE_ENTER, &h->inside, 1); // Dekker, with FORK_INSIDE
        if (!closed_to_me())
            return;
        store_release(GATE_BACK, &h->inside, 0);
        wait_until_open();
    }
}

// ---- attaching ----

// `begins`: for a thread that begins.
static struct heap *borrow(bool begins)
{
    if (!start())
        return NULL;
    bool ready = begins && hak_options.prewarm_threads != 0 && hak_prewarm_is_wanted();
    return ready ? hak_heaps_borrow_ready() : hak_heaps_borrow();
}

COLD static struct heap *enter_without_heap(struct heap *h)
{
    hak_enter_as_guest();
    struct heap *mine = borrow(h != hak_late_heap);
    if (h == hak_late_heap) {
        if (mine != NULL)
            tls_set_heap(mine);
        else
            hak_leave_as_guest();
        return mine; // a guest until hak_leave
    }
    if (mine != NULL)
        tls_set_heap(mine);
    hak_leave_as_guest();
    if (mine == NULL)
        return NULL;
    set_hooks();
    hak_thread_watch_exit();
    enter_with(mine);
    return mine;
}

struct heap *hak_enter(void)
{
    struct heap *h = tls_heap();
    if (unlikely(!hak_heap_is_real(h)))
        return enter_without_heap(h);
    enter_with(h);
    return h;
}

void hak_leave(struct heap *h)
{
    if (likely(load_relaxed(GATE_IS_INSIDE, &h->inside) != 0)) {
        store_release(GATE_LEAVE, &h->inside, 0); // all that was done, to FORK_INSIDE
        return;
    }
    // A late thread: it came as a guest.
    tls_set_heap(hak_late_heap);
    hak_heaps_return(h);
    hak_leave_as_guest();
}

// Before main: prewarms this thread's heap, and those for threads to come. Where no option is given
// nothing is done here.
__attribute__((constructor)) static void prewarm_process(void)
{
    if (hak_os_environment("HAKMEM_OPTIONS") == NULL)
        return;
    lock_acquire(&process.lock);
    read_options();
    lock_release(&process.lock);
    struct heap *h = hak_prewarm_is_wanted() ? hak_enter() : NULL;
    if (h == NULL)
        return;
    h->now_ms = os_clock_ms();
    if (h->prewarm.done || hak_prewarm(h))
        hak_heaps_make_ready();
    hak_leave(h);
}

static void give_back(struct heap *becomes)
{
    struct heap *h = tls_heap();
    if (!hak_heap_is_real(h)) {
        if (becomes == hak_late_heap)
            tls_set_heap(becomes); // the C library may free after the last exit handler
        return;
    }
    hak_enter_as_guest();
    tls_set_heap(becomes);
    hak_heaps_return_ready(h);
    hak_leave_as_guest();
}

void hak_detach(void)
{
    give_back(hak_no_heap);
}

void hak_on_thread_exit(void)
{
    give_back(hak_late_heap);
}

// ---- fork ----

// Whether a fork may wait for the others. Not in a signal handler that interrupted a slow path with
// a lock held, for which they may wait, nor in one of SIGABRT after a report: whatever the thread
// was in stays unfinished. The child may then do what POSIX lets it: exec or _exit.
static bool may_wait(void)
{
    return !lock_is_any_held() && !os_is_aborting();
}

// `mine` is inside if a signal handler forks that interrupted its slow path: that one will go on.
static void wait_for_others(const struct heap *mine)
{
    while (load_seq_cst(FORK_GUESTS, &gate.guests) != 0)
        thread_yield(); // each slow path is finite, and new ones step back
    for (uint32_t i = 0; i < hak_heaps_count(); i++)
        while (hak_heaps_at(i) != mine && load_seq_cst(FORK_INSIDE, &hak_heaps_at(i)->inside) != 0)
            thread_yield();
}

void hak_before_fork(void)
{
    void *expected = NULL;
    while (!cas_strong_acquire(FORK_CLAIM, &gate.closed, &expected, tls_self())) {
        if (expected == tls_self()) {
            gate.nested++;
            break;
        }
        expected = NULL; // another thread forks: one after the other
        thread_yield();
    }
    store_seq_cst(FORK_CLOSE, &gate.closed, tls_self()); // Dekker, with GATE_CLOSED
    gate.others_out = may_wait();
    if (gate.others_out)
        wait_for_others(tls_heap());
    if (hak_profile_interval() != 0)
        hak_profile_before_fork();
}

// The end of one within another, in either process: the outer one opens the gate.
static bool ends_nested(void)
{
    bool nested = gate.nested != 0;
    gate.nested -= nested;
    return nested;
}

void hak_after_fork_parent(void)
{
    if (!ends_nested())
        store_release(FORK_OPEN, &gate.closed, NULL);
}

void hak_after_fork_child(void)
{
    // Threads that stepped back at the moment of the fork left their marks: there are none now.
    store_relaxed(FORK_GUESTS_RESET, &gate.guests, 0);
    if (USES_RANDOM)
        hak_random_after_fork();
    // The thread that was registering the hooks may be gone. It had registered these handlers, or
    // nobody would call me, and the exit key before them.
    uint32_t hooks = HOOKS_BUSY;
    cas_strong_relaxed(FORK_HOOKS, &process.hooks, &hooks, HOOKS_SET);
    hak_heaps_after_fork(tls_heap(), gate.others_out);
    if (hak_profile_interval() != 0)
        hak_profile_after_fork();
    if (!ends_nested())
        store_relaxed(FORK_OPEN_CHILD, &gate.closed, NULL);
}

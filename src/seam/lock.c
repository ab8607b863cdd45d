// lock.c (seam): the three-state futex mutex, and the check of lock ranks.
//
//   state   FREE -> HELD           acquire without contention, one compare-and-swap
//           any  -> CONTENDED      a waiter announces itself; it holds the lock if the old
//                                  state was FREE, else it sleeps while the state is CONTENDED
//           any  -> FREE           release; wakes one sleeper if the old state was CONTENDED
//
// Invariants: state != FREE exactly while one thread is between acquire and release. A thread
// sleeps only after it has made the state CONTENDED, and a waiter that wakes and wins leaves it
// CONTENDED, so no sleeper is forgotten (at the price of one wake-up too many).
// Ownership: the word belongs to no thread; held_ranks is its thread's own. Bit r of it is set
// while the thread takes, holds or releases a lock of rank r; it is kept in every build, and read
// by assertions and by a fork in a signal handler.
// Progress: spinning is bounded; afterwards the kernel wakes waiters. Critical sections are short
// and never allocate. At a fork all locks are free (the gate of attach.h), so the child inherits
// FREE words and, in its only thread, held_ranks = 0; but for a fork in a signal handler.
#define _GNU_SOURCE 1
#include "lock.h"

#include "../check.h"
#include "../config.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FREE = 0, HELD = 1, CONTENDED = 2 };
// About a microsecond of pauses: longer than a short critical section, shorter than a sleep.
enum { SPINS_MAX = SMALL_OR(1, 64) };

static __thread uint32_t held_ranks __attribute__((tls_model("initial-exec")));

static void futex(struct lock *l, int operation, uint32_t value)
{
    int saved = errno;
    // Every failure (the word has changed, a signal) means: look at the word again.
    (void)syscall(SYS_futex, &l->state.raw, operation, value, NULL, NULL, 0);
    errno = saved;
}

// Waits for a holder that is about to release. False: someone sleeps already, or it took too long.
static bool spin(struct lock *l)
{
    for (int turn = 0; turn < SPINS_MAX; turn++) {
        uint32_t seen = load_relaxed(LOCK_PEEK, &l->state);
        if (seen == CONTENDED)
            return false;
        if (seen == FREE && cas_weak_acquire(LOCK_SPIN_TRY, &l->state, &seen, HELD))
            return true;
        wait_hint(LOCK_SPIN);
    }
    return false;
}

// Counts when it holds the lock: so it costs no atomic operation, and none without contention.
static NOINLINE void acquire_contended(struct lock *l)
{
    bool slept = false;
    if (!spin(l))
        for (; exchange_acquire(LOCK_WAIT, &l->state, CONTENDED) != FREE; slept = true)
            futex(l, FUTEX_WAIT_PRIVATE, CONTENDED);
    own_store(&l->contended, own_load(&l->contended) + 1);
    own_store(&l->slept, own_load(&l->slept) + slept);
}

void hak_lock_acquire(struct lock *l)
{
    HAK_ASSERT(l->rank >= 1 && l->rank < 32);
    HAK_ASSERT(held_ranks >> l->rank == 0); // ranks rise, and no lock is taken twice
    uint32_t expected = FREE;
    held_ranks |= 1u << l->rank;
    own_order(); // a signal may come in between
    if (unlikely(!cas_strong_acquire(LOCK_TRY, &l->state, &expected, HELD)))
        acquire_contended(l);
}

void hak_lock_release(struct lock *l)
{
    HAK_ASSERT((held_ranks >> l->rank & 1) != 0); // this thread holds it
    uint32_t old = exchange_release(LOCK_RELEASE, &l->state, FREE);
    HAK_ASSERT(old != FREE);
    if (unlikely(old == CONTENDED))
        futex(l, FUTEX_WAKE_PRIVATE, 1);
    own_order(); // as above
    held_ranks &= ~(1u << l->rank);
}

bool hak_lock_is_any_held(void)
{
    return held_ranks != 0;
}

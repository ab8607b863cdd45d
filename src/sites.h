// sites.h: the name of every place in src/ that executes an atomic operation or waits for one.
//
// A name is used at exactly one place. A test build identifies, traces and weakens operations by
// it; a release build does not see it. The text says what the operation publishes or reads and why
// its order is what it is. Grouped by the file of use.
#ifndef HAK_SITES_H
#define HAK_SITES_H

#define HAK_SITES(X)                                                                               \
    /* seam/lock.c */                                                                              \
    X(LOCK_TRY, "acquire: pairs with LOCK_RELEASE, sees what the last holder wrote")               \
    X(LOCK_PEEK, "relaxed: only decides whether LOCK_SPIN_TRY is worth it")                        \
    X(LOCK_SPIN_TRY, "acquire: pairs with LOCK_RELEASE")                                           \
    X(LOCK_SPIN, "hint: a bounded number of turns, then the futex")                                \
    X(LOCK_WAIT, "acquire: pairs with LOCK_RELEASE; leaves 'someone may wait' behind")             \
    X(LOCK_RELEASE, "release: publishes the critical section to the next holder")                  \
    /* retries.c */                                                                                \
    X(RETRY, "relaxed: a counter")                                                                 \
    X(RETRIES_READ, "relaxed: statistics")                                                         \
    /* seam/os.c */                                                                                \
    X(PAGE_SIZE_READ, "relaxed: a constant, or 0 before it is known")                              \
    X(PAGE_SIZE_WRITE, "relaxed: every thread writes the same")                                    \
    X(OS_FAILURE_COUNT, "relaxed: a counter")                                                      \
    X(OS_FAILURES_READ, "relaxed: statistics")                                                     \
    X(OS_ABORT, "relaxed: a thread looks for itself")                                              \
    X(OS_IS_ABORTING, "relaxed: as OS_ABORT")                                                      \
    /* foreign.c */                                                                                \
    X(FOREIGN_PROBE, "relaxed: a call site is a plain number, nothing is read through it")         \
    X(FOREIGN_CLAIM, "relaxed: as FOREIGN_PROBE; the cell goes from 0 to a site once")             \
    X(FOREIGN_SPIN, "hint: a spurious failure of FOREIGN_CLAIM; the cell can change once only")    \
    X(FOREIGN_COUNT, "relaxed: a counter")                                                         \
    X(FOREIGN_REST, "relaxed: a counter")                                                          \
    X(FOREIGN_READ_SITE, "relaxed: report; may lag behind")                                        \
    X(FOREIGN_READ_COUNT, "relaxed: report; may lag behind")                                       \
    X(FOREIGN_READ_REST, "relaxed: report; may lag behind")                                        \
    /* arena.c */                                                                                  \
    X(ARENA_TAG_READ,                                                                              \
      "relaxed: a block's holder got its tag with the block, from the thread that allocated it")   \
    X(ARENA_TAG_WRITE, "relaxed: published with the blocks, or by GIVE")                           \
    X(LIVE_WAS, "relaxed: a block that is free has no other holder who could set it")              \
    X(LIVE_SET, "relaxed: the block's way to its next free orders it before LIVE_CLEAR")           \
    X(LIVE_CLEAR, "relaxed: elects one of racing frees; the next LIVE_SET comes after it")         \
    X(LIVE_ALONE_WAS, "relaxed: there is no other thread")                                         \
    X(LIVE_ALONE, "relaxed: as LIVE_ALONE_WAS; who begins a thread orders it before all it does")  \
    X(LIVE_READ, "relaxed: whoever holds a block was handed it after LIVE_SET")                    \
    /* random.c */                                                                                 \
    X(RANDOM_GENERATION, "relaxed: changes only in a child of a fork, which has one thread")       \
    X(RANDOM_FORK, "relaxed: as RANDOM_GENERATION")                                                \
    X(RANDOM_SHARED, "relaxed: a counter, each value is taken once")                               \
    /* guard.c */                                                                                  \
    X(GUARD_COUNT, "relaxed: a bound that may be exceeded by a few")                               \
    X(GUARD_ADD, "relaxed: a counter")                                                             \
    X(GUARD_DROP, "relaxed: a counter")                                                            \
    X(GUARD_REFUSED, "relaxed: a counter")                                                         \
    X(GUARD_REFUSED_READ, "relaxed: statistics")                                                   \
    X(INACCESSIBLE_ADD, "relaxed: a counter")                                                      \
    X(INACCESSIBLE_READ, "relaxed: statistics")                                                    \
    X(GUARDS_READ, "relaxed: statistics")                                                          \
    X(GUARD_CLOSE, "relaxed: the unit's owner turns the bit; the mask orders its owners")          \
    X(GUARD_OPEN, "relaxed: as GUARD_CLOSE")                                                       \
    X(GUARD_GIVEN_UP, "relaxed: a counter")                                                        \
    X(GUARD_IS_CLOSED, "relaxed: as GUARD_CLOSE")                                                  \
    /* types.c */                                                                                  \
    X(KIND_READ, "relaxed: to choose; the claim of the unit orders what its kind was")             \
    X(KIND_OF_SPAN, "relaxed: as KIND_READ")                                                       \
    X(KIND_BEFORE, "relaxed: the unit's owner")                                                    \
    X(KIND_WRITE, "relaxed: the unit's owner; GIVE publishes it")                                  \
    X(KIND_MIXED, "relaxed: a counter")                                                            \
    X(KIND_MIXED_READ, "relaxed: statistics")                                                      \
    X(KIND_HINT_WRITE, "relaxed: a hint")                                                          \
    X(KIND_HINT_READ, "relaxed: a hint")                                                           \
    /* empty.c */                                                                                  \
    X(EMPTY_NEXT, "relaxed: a rotor")                                                              \
    X(EMPTY_LOAD, "relaxed: the block has no contents to order; EMPTY_TAKE decides")               \
    X(EMPTY_TAKE, "relaxed: as EMPTY_LOAD")                                                        \
    X(EMPTY_GIVE, "relaxed: as EMPTY_LOAD; an election of one of the frees of a block")            \
    X(EMPTY_IS_LIVE, "relaxed: as EMPTY_LOAD")                                                     \
    /* superslab.c */                                                                              \
    X(BEGIN_RESTART, "relaxed: before any other thread exists")                                    \
    X(SUPERSLAB_BEGUN_READ,                                                                        \
      "acquire: records and memory of a SuperSlab seen as begun are committed")                    \
    X(SUPERSLAB_WORD_PEEK, "relaxed: chooses candidates; a claim decides")                         \
    X(COMMITTED_READ, "relaxed: statistics")                                                       \
    X(COMMITTED_PEAK_READ, "relaxed: statistics")                                                  \
    X(COMMITTED_ADD, "relaxed: a counter")                                                         \
    X(COMMITTED_PEAK_LOAD, "relaxed: a maximum")                                                   \
    X(COMMITTED_PEAK_CAS, "relaxed: a maximum")                                                    \
    X(COMMITTED_PEAK_SPIN, "hint: another thread raised the maximum")                              \
    X(CLAIM_LOAD, "relaxed: first guess for CLAIM_CAS")                                            \
    X(CLAIM_CAS, "acquire: contents, tags and records of units, as released by GIVE")              \
    X(CLAIM_SPIN, "hint: the word changed, so another thread succeeded")                           \
    X(CLAIM_AT_LOAD, "relaxed: first guess for CLAIM_AT_CAS")                                      \
    X(CLAIM_AT_CAS, "acquire: as CLAIM_CAS")                                                       \
    X(CLAIM_AT_SPIN, "hint: the word changed, so another thread succeeded")                        \
    X(CLAIM_EMPTY, "acquire: as CLAIM_CAS; no release, RMWs keep the release sequence of GIVE")    \
    X(GIVE, "seq_cst: releases contents, tags, records to CLAIM_*; Dekker with HINT_RECHECK")      \
    X(GIVE_FREE_LOOK, "seq_cst: Dekker with HINT_CLEAR (lemma H)")                                 \
    X(GIVE_FREE_HINT,                                                                              \
      "relaxed: coherence puts it behind the clear that GIVE_FREE_LOOK saw (lemma H)")             \
    X(GIVE_EMPTY_LOOK, "seq_cst: Dekker with HINT_CLEAR (lemma H)")                                \
    X(GIVE_EMPTY_HINT, "relaxed: as GIVE_FREE_HINT")                                               \
    X(BEGIN_LOAD, "relaxed: written under the same lock")                                          \
    X(BEGIN_STORE, "release: committed records and memory, to SUPERSLAB_BEGUN_READ")               \
    X(HINT_READ, "relaxed: chooses candidates; a claim decides")                                   \
    X(HINT_CLEAR, "seq_cst: Dekker with GIVE_FREE_LOOK and GIVE_EMPTY_LOOK (lemma H)")             \
    X(HINT_RECHECK, "seq_cst: Dekker with GIVE (lemma H)")                                         \
    X(HINT_RESTORE, "relaxed: coherence puts it behind its own HINT_CLEAR (lemma H)")              \
    /* slab.c */                                                                                   \
    X(SLAB_REMOTE_PEEK, "relaxed: audit at a quiescent point")                                     \
    /* remote.c */                                                                                 \
    X(REMOTE_OWNER_TEST, "relaxed: equality with my own inbox can only be changed by me")          \
    X(REMOTE_MARK, "release: the freer's use of the blocks, to REMOTE_HARVEST")                    \
    X(INBOX_HEAD, "relaxed: first guess for INBOX_PUSH")                                           \
    X(INBOX_LINK_WRITE, "plain: the token's holder alone; published by INBOX_PUSH")                \
    X(INBOX_PUSH, "release: the link, to INBOX_TAKE")                                              \
    X(INBOX_SPIN, "hint: another push or a take succeeded")                                        \
    X(REMOTE_NOTIFY, "release: my marks, to whoever clears the token; acquire: the owner that "    \
                     "its last holder left")                                                       \
    X(REMOTE_OWNER_READ, "relaxed: ordered by REMOTE_NOTIFY; only the holder changes it")          \
    X(INBOX_PEEK, "relaxed: an empty inbox is looked at again at the next drain")                  \
    X(INBOX_TAKE, "acquire: links of the slabs, pairs with INBOX_PUSH")                            \
    X(REMOTE_HARVEST_PEEK,                                                                         \
      "relaxed: marks of freers that found the token taken happen before by the clear")            \
    X(REMOTE_HARVEST, "acquire: the freers' use of the blocks, pairs with REMOTE_MARK")            \
    X(INBOX_LINK_READ, "plain: the token is in my list; behind INBOX_TAKE, before REMOTE_SETTLE")  \
    X(REMOTE_SETTLE,                                                                               \
      "acquire: marks of freers that found the token taken; release: my read of the link")         \
    X(REMOTE_HOLD, "relaxed: only owners clear the token, so a 0 is mine or came with the heap")   \
    X(REMOTE_ADOPT_OWNER, "relaxed: published by REMOTE_ADOPT")                                    \
    X(REMOTE_ADOPT, "release: the new owner, to REMOTE_NOTIFY; acquire: as REMOTE_SETTLE")         \
    X(REMOTE_BEGIN_PEEK, "relaxed: marks of an old life are mistakes of the user; told if seen")   \
    X(REMOTE_BEGIN_OWNER, "relaxed: published by REMOTE_BEGIN")                                    \
    X(REMOTE_BEGIN, "release: owner and record, to a late REMOTE_NOTIFY of the old life")          \
    X(REMOTE_COUNT, "relaxed: statistics")                                                         \
    /* pool.c */                                                                                   \
    X(POOL_ROTOR, "relaxed: a place to begin a search")                                            \
    X(POOL_STAMP, "relaxed: published by GIVE")                                                    \
    X(TICK_LOAD, "relaxed: a time; TICK_CAS decides")                                              \
    X(TICK_CAS, "relaxed: elects who purges; the units themselves are claimed")                    \
    X(PURGE_STAMP, "relaxed: ordered by reading the word; an old stamp only means an early purge") \
    /* held.c */                                                                                   \
    X(HELD_TOTAL, "relaxed: a bound that may be exceeded by a few")                                \
    X(HELD_PLUS, "relaxed: a counter")                                                             \
    X(HELD_MINUS, "relaxed: a counter")                                                            \
    X(HELD_WARM, "relaxed: a counter")                                                             \
    X(HELD_WARM_READ, "relaxed: a bound that may be exceeded by a few")                            \
    /* heaps.c */                                                                                  \
    X(HEAPS_COUNT, "acquire: the heap and its table entry, pairs with HEAPS_ADD")                  \
    X(HEAPS_IDLE_COUNT, "relaxed: zero only spares a sweep")                                       \
    X(HEAPS_TABLE_READ, "relaxed: ordered by HEAPS_COUNT")                                         \
    X(HEAP_BORROW,                                                                                 \
      "acquire: the heap as its last owner left it, pairs with HEAP_RETURN and SWEEP_DONE")        \
    X(HEAPS_IDLE_MINUS, "relaxed: a counter")                                                      \
    X(HEAPS_COUNT_MAKE, "relaxed: written under the same lock")                                    \
    X(HEAPS_TABLE_WRITE, "relaxed: published by HEAPS_ADD")                                        \
    X(HEAPS_ADD, "release: the heap and its table entry, to HEAPS_COUNT")                          \
    X(GUEST_FREE, "relaxed: a counter")                                                            \
    X(GUEST_FREES_READ, "relaxed: statistics")                                                     \
    X(HEAPS_IDLE_PLUS, "relaxed: a counter")                                                       \
    X(HEAP_RETURN, "release: the heap, to HEAP_BORROW and SWEEP_CLAIM")                            \
    X(SWEEP_ROTOR, "relaxed: whose turn it is")                                                    \
    X(SWEEP_PEEK, "relaxed: SWEEP_CLAIM decides")                                                  \
    X(SWEEP_CLAIM, "acquire: the heap as its last owner left it, as HEAP_BORROW")                  \
    X(SWEEP_DONE, "release: the heap, to HEAP_BORROW and SWEEP_CLAIM")                             \
    X(FORK_INSIDE_RESET, "relaxed: the child has one thread")                                      \
    X(FORK_STATE, "relaxed: the child has one thread")                                             \
    /* attach.c */                                                                                 \
    X(STARTED_READ, "acquire: everything set up, pairs with STARTED_WRITE")                        \
    X(STARTED_AGAIN, "relaxed: written under the same lock")                                       \
    X(STARTED_WRITE, "release: everything set up, to STARTED_READ")                                \
    X(HOOKS_READ, "acquire: the exit key, pairs with HOOKS_WRITE")                                 \
    X(HOOKS_CLAIM, "relaxed: elects who sets the hooks; losers wait at HOOKS_WAIT")                \
    X(HOOKS_WRITE, "release: the exit key, to HOOKS_READ and HOOKS_WAIT")                          \
    X(HOOKS_WAIT, "acquire: the exit key, pairs with HOOKS_WRITE")                                 \
    X(GATE_CLOSED,                                                                                 \
      "seq_cst: Dekker with FORK_CLOSE: I see the closed gate, or the fork sees my mark")          \
    X(GATE_WAIT, "relaxed: GATE_CLOSED looks again before anything is done")                       \
    X(GUEST_ENTER, "seq_cst: Dekker with FORK_GUESTS")                                             \
    X(GUEST_BACK,                                                                                  \
      "relaxed: nothing was done; as an RMW it keeps the release sequence of GUEST_LEAVE")         \
    X(GUEST_LEAVE, "release: what the guest did, to FORK_GUESTS")                                  \
    X(GATE_ENTER, "seq_cst: Dekker with FORK_INSIDE")                                              \
    X(GATE_BACK,                                                                                   \
      "release: what earlier slow paths did, to FORK_INSIDE, which may see this store only")       \
    X(GATE_IS_INSIDE, "relaxed: my own mark")                                                      \
    X(GATE_LEAVE, "release: what the slow path did, to FORK_INSIDE")                               \
    X(FORK_CLAIM, "acquire: what the last fork left in the gate, pairs with FORK_OPEN")            \
    X(FORK_CLOSE, "seq_cst: Dekker with GATE_CLOSED")                                              \
    X(FORK_GUESTS, "seq_cst: Dekker with GUEST_ENTER; acquires what guests did")                   \
    X(FORK_INSIDE, "seq_cst: Dekker with GATE_ENTER; acquires what slow paths did")                \
    X(FORK_OPEN,                                                                                   \
      "release: the fork reads all that is before it; to GATE_CLOSED, before it changes; to "      \
      "FORK_CLAIM")                                                                                \
    X(FORK_HOOKS, "relaxed: the child has one thread; those it starts come after")                 \
    X(FORK_GUESTS_RESET, "relaxed: the child has one thread")                                      \
    X(FORK_OPEN_CHILD, "relaxed: as FORK_HOOKS")                                                   \
    /* profile.c */                                                                                \
    X(PROFILE_COUNT, "acquire: entries that the count includes, pairs with PROFILE_PUBLISH")       \
    X(PROFILE_COUNT_OWN, "relaxed: under the lock that changes it")                                \
    X(PROFILE_COUNT_BEFORE, "relaxed: the same")                                                   \
    X(PROFILE_PUBLISH, "release: the entry, to PROFILE_COUNT")                                     \
    X(PROFILE_SEED, "relaxed: a counter, each value is taken once")                                \
    X(PROFILE_LOSE, "relaxed: a counter")                                                          \
    X(PROFILE_LOST_READ, "relaxed: a counter")                                                     \
    /* stacks.c */                                                                                 \
    X(STACK_STARTED, "release: what the C library set up, to STACK_IS_STARTED")                    \
    X(STACK_IS_STARTED, "acquire: pairs with STACK_STARTED")                                       \
    /* sampled.c */                                                                                \
    X(SAMPLED_RANDOM, "relaxed: a counter, each value is taken once")                              \
    /* sized.c */                                                                                  \
    X(KEPT_SET, "relaxed: whoever has such a block was handed it after this")                      \
    X(KEPT_READ, "relaxed: as KEPT_SET")                                                           \
    /* large.c */                                                                                  \
    X(LARGE_LIVE, "relaxed: the user passes the pointer on with an order of its own")              \
    X(LARGE_FREE, "relaxed: one of racing frees wins; uses of the block are the user's to order")  \
    X(LARGE_FREE_UNCHECKED, "relaxed: as LARGE_FREE where second frees are not looked for")        \
    X(GUEST_LARGE, "relaxed: a counter")                                                           \
    X(GUEST_HUGE, "relaxed: a counter")                                                            \
    X(GUEST_BYTES, "relaxed: a counter")                                                           \
    X(GUEST_LARGE_READ, "relaxed: statistics")                                                     \
    X(GUEST_HUGE_READ, "relaxed: statistics")                                                      \
    X(GUEST_BYTES_READ, "relaxed: statistics")                                                     \
    X(LARGE_PROFILED, "relaxed: as LARGE_LIVE")                                                    \
    X(LARGE_IS_PROFILED, "relaxed: as LARGE_IS_LIVE")                                              \
    X(LARGE_IS_LIVE, "relaxed: whoever holds a block was handed it after LARGE_LIVE")              \
    X(LARGE_OK, "relaxed: audit at a quiescent point")                                             \
    /* mapped.c */                                                                                 \
    X(MAPPED_COUNT, "relaxed: whoever holds a block was handed it after it was counted")           \
    X(MAPPED_ANY, "relaxed: as MAPPED_COUNT")                                                      \
    X(MAPPED_ANY_FREE, "relaxed: as MAPPED_COUNT")                                                 \
    X(MAPPED_ANY_USABLE, "relaxed: as MAPPED_COUNT")                                               \
    X(MAPPED_FREED, "relaxed: a counter; a second free of a block follows its first")              \
    X(MAPPED_ANY_FREED, "relaxed: as MAPPED_FREED")                                                \
    X(MAPPED_WAS_FREED, "relaxed: as MAPPED_FREED")                                                \
    X(MAPPED_UNCOUNT, "relaxed: a counter")                                                        \
    X(MAPPED_STATS, "relaxed: as MAPPED_COUNT")                                                    \
    /* report.c */                                                                                 \
    X(REPORT_BUSY, "acquire: pairs with REPORT_DONE, the report as its last user left it")         \
    X(REPORT_DONE, "release: the report, to REPORT_BUSY")                                          \
    /* audit.c */                                                                                  \
    X(AUDIT_INBOX, "relaxed: at a quiescent point")                                                \
    X(AUDIT_LINK, "relaxed: at a quiescent point")                                                 \
    X(AUDIT_PENDING, "relaxed: at a quiescent point")                                              \
    X(AUDIT_REMOTE, "relaxed: at a quiescent point")

#define HAK_SITE_ENUM(name, why) SITE_##name,
enum site { HAK_SITES(HAK_SITE_ENUM) SITE_COUNT };
#undef HAK_SITE_ENUM

#endif

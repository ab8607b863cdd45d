// heaps.h: all heaps of the process: made, borrowed, given back, swept. They never die.
//
// Any thread, inside of the fork gate (attach.h).
#ifndef HAK_HEAPS_H
#define HAK_HEAPS_H

#include "heap.h"

// A heap for the calling thread: an idle one, else a new one. NULL when metadata memory is
// exhausted or HEAPS_MAX are busy.
struct heap *hak_heaps_borrow(void);

// The same for a thread that begins, where such are prewarmed (prewarm.h): one that is, if there is
// one, else it is prewarmed now.
struct heap *hak_heaps_borrow_ready(void);

// Gives the caller's heap back: flushed, drained, empty slabs released; it keeps its other slabs.
void hak_heaps_return(struct heap *h);

// The same, but prewarmed anew if fewer idle ones are than the option prewarm_threads wants.
void hak_heaps_return_ready(struct heap *h);

// Makes as many prewarmed idle heaps as the option wants, or as memory allows.
void hak_heaps_make_ready(void);

// Claims up to `heaps_max` idle heaps in turn, drains them and releases what is empty; with a class
// (not TAG_NONE) takes over slabs of it that have free blocks. All HEAPS_MAX are the last resort:
// then prewarmed ones are flushed too. Returns whether anything came of it.
bool hak_heaps_sweep(struct heap *mine, unsigned class_index, uint32_t heaps_max);

// hak_pool_purge at the time that mine->now_ms says, counted by the caller's heap.
size_t hak_heaps_purge(struct heap *mine, uint64_t delay_ms, size_t units_max);

// In the child of a fork: the heaps of all other threads become idle, if they are `whole`: if none
// of the threads was in a slow path.
void hak_heaps_after_fork(struct heap *mine, bool whole);

// Heaps made so far, and of them idle. Heap `index` below the count.
uint32_t hak_heaps_count(void);
uint32_t hak_heaps_idle(void);
struct heap *hak_heaps_at(uint32_t index);

// Where the count lies, 32 bits, and the table of pointers.
const void *hak_heaps_count_at(void);
const void *hak_heaps_table_at(void);

// Blocks of classes freed by threads that could not get a heap.
void hak_heaps_count_guest_free(void);
uint64_t hak_heaps_guest_frees(void);

struct lock;
const struct lock *hak_heaps_lock(void); // for statistics

void hak_heaps_start(void);

#endif

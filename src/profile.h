// profile.h: which calls allocated what is live, and what was freed: sampled by bytes.
//
// Off unless the option `profile` is set: the average number of bytes between two samples. For each
// stack of return addresses sums are kept, and for each sampled block that is live where it came
// from. What is added is weighted (intervals.h), so sums estimate all allocations without bias.
//
// Any thread. Adding and freeing happen inside of the fork gate; reading anywhere, also in a signal
// handler: sums of different moments while other threads work.
#ifndef HAK_PROFILE_H
#define HAK_PROFILE_H

#include <seam/atomics.h>

#include "config.h"

// Blocks live so long, nanoseconds: less than 10 us, 100 us, ... 10 s, or longer.
#define LIFETIMES 8u
#define LIFETIME_FIRST_NS ((uint64_t)10000)

// Estimates: blocks, and the bytes that were asked for.
struct profile_sum {
    double blocks, bytes;
};

struct profile_sums {
    struct profile_sum allocated;
    struct profile_sum freed[LIFETIMES][2]; // [1]: by another thread than allocated them
};

// Takes note of block p of n bytes, which was sampled and is nobody else's yet. `frames`: return
// addresses, innermost first; `thread`: the calling one's id. False: no room is left, the caller
// goes on as if it were not sampled.
bool hak_profile_add(const void *p, size_t n, void *const *frames, uint32_t count, uint32_t thread);

// p is about to be freed by the thread. Nothing happens if it is not a sampled block.
void hak_profile_freed(const void *p, uint32_t thread);

// For a new heap: where its random numbers begin, the same in each run if the option `profile_seed`
// is set. Returns the bytes until its first sample.
int64_t hak_profile_begin(uint64_t *random);

// Average bytes between samples; 0: the profile is off, also because its tables had no room.
uint64_t hak_profile_interval(void);

// Stacks so far; those of [0] are not known. Its sums and frames: numbers of locations.
uint32_t hak_profile_stacks(void);
void hak_profile_read(uint32_t stack, struct profile_sums *out);
uint32_t hak_profile_frames(uint32_t stack, uint32_t out[PROFILE_FRAMES]);

// Code addresses so far: return addresses.
uint32_t hak_profile_locations(void);
const void *hak_profile_location(uint32_t location);

// Sampled blocks that were let go, for want of room.
uint64_t hak_profile_lost(void);

// Clocks at start: of the wall, nanoseconds since 1970, and monotonic.
uint64_t hak_profile_began_ns(void);

struct lock;
const struct lock *hak_profile_lock(void); // for statistics

// Handlers of fork, with the gate closed; the second in the child.
void hak_profile_before_fork(void);
void hak_profile_after_fork(void);

// Once at start, if the option is set. Refused: hak_profile_interval stays 0.
void hak_profile_start(void);

#endif

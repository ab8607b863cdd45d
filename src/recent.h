// recent.h: freed large and huge blocks that a heap keeps for its next request of the same size.
//
// A program that allocates and frees one large buffer again and again should pay for neither the
// search in the pool nor the tags of all its units. A heap keeps runs of one length only, that of
// its latest request, so what is kept was wanted a moment ago and its bytes are bounded.
//
// Owner of the heap only, inside of the fork gate. A kept run keeps its record and tags, with
// live == 0: a second free of it is told as one.
#ifndef HAK_RECENT_H
#define HAK_RECENT_H

#include "slab.h"

// With these mitigations freed memory is zeroed, guarded or held back: held.h keeps it.
#define KEEPS_RECENT (!(FREE_IS_ZERO || MITIGATE_GUARDS || MITIGATE_QUARANTINE))

struct recent {
    uint32_t unit[RECENT_RUNS_MAX]; // where each kept run begins, the newest last
    uint32_t count;
    uint32_t units;   // of the latest request, and of each kept run
    bool hit;         // since the last trim
    uint64_t kept_ms; // when the newest was freed
};

// Notes a request of so many units; a kept run of exactly that many, or NULL. Runs of another
// length go to the pool.
struct slab *hak_recent_take(struct recent *r, uint32_t units);

// Keeps the freed block (live == 0). False, and nothing is changed, if it is not as long as the
// latest request, or there are enough.
bool hak_recent_keep(struct recent *r, struct slab *s, uint64_t now_ms);

// Gives all to the pool, as free since they were kept.
void hak_recent_release(struct recent *r);

// The same, unless one was of use since the last call.
void hak_recent_trim(struct recent *r);

#endif

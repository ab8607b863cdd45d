// replay_block.h: one block of a replay: what was asked for, what came, and what was written to it.
#ifndef TRACE_REPLAY_BLOCK_H
#define TRACE_REPLAY_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "replay.h"

struct replay_block {
    void *p;          // NULL: none
    size_t size;      // asked for
    uint64_t pattern; // written to its first and last bytes
};

// Carries out `op`, the `index`-th of the trace, on `block` and checks what can be checked: that
// the allocator succeeded, alignment, zeroes of calloc, usable size, contents. False: `reason` says
// what is wrong, in `reason_bytes` bytes at most.
bool replay_block_op(struct replay_block *block, const struct op *op, uint32_t index,
                     enum replay_fill fill, char *reason, size_t reason_bytes);

#endif

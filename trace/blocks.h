// blocks.h: the life of each block of a trace, and whether the trace makes sense.
//
// A trace makes sense if its operations are those of a correct program: an allocation goes into an
// empty slot, free and usable_size name a block that lives, alignments are powers of two, sizes are
// at most PTRDIFF_MAX. Its slots and threads are dense (a slot is at most one above the highest so
// far), so that tables by slot are never larger than the file. Injected faults and misuse belong to
// fuzz inputs, not to traces.
#ifndef TRACE_BLOCKS_H
#define TRACE_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../fuzz/ops.h"

#define NO_BLOCK UINT32_MAX
#define NEVER UINT32_MAX
#define TRACE_OPS_MAX (UINT32_MAX - 1)

struct block {
    uint64_t size; // when allocated
    uint64_t size_max;
    uint32_t born; // index of the operation
    uint32_t died; // the same, or NEVER
    uint32_t ops;  // that name it, first and last included
    uint16_t thread;
    uint16_t died_thread;
};

struct block_table {
    struct block *list;
    size_t count;
    size_t capacity;
    uint32_t *of_op; // the block that an operation names, or NO_BLOCK
};

// False: `where` of `error` is the index of the operation that makes no sense, and `table` is
// empty. The table is as large as the trace; blocks_free releases it.
bool blocks_build(struct block_table *table, const struct ops *trace, struct ops_error *error);
void blocks_free(struct block_table *table);

// What an allocating operation asks for: calloc's product, pvalloc's whole pages.
uint64_t op_bytes(const struct op *op);
// Whether the operation, which makes sense, gives its slot a block, where `live` tells whether the
// slot has one; and whether it takes it away.
bool op_begins(const struct op *op, bool live);
bool op_ends(const struct op *op, bool live);

// Makes an error about operation `index` one about the offset in its file, and adds the index.
void trace_locate(const struct ops *trace, size_t index, struct ops_error *error);

#endif

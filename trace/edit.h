// edit.h: makes smaller and larger traces from traces. Every result makes sense (blocks.h): slots
// and threads are numbered anew, blocks that a part needs are completed.
//
// All return false with a reason in `error` (its `where` means nothing); `out` is then empty.
#ifndef TRACE_EDIT_H
#define TRACE_EDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trace_file.h"

struct cut_options {
    uint32_t skip;        // operations to leave out at the start
    uint32_t first;       // operations to take then
    uint64_t from_ms;     // of the time since the start of the trace
    uint64_t to_ms;       // exclusive
    const bool *threads;  // by number: whether to take it; NULL: all
    uint32_t threads_max; // elements there
    bool keep_live;       // blocks live at the start of the part are taken though it names them not
    bool free_at_end;     // frees what is left
};

// Takes the operations within all bounds. A block that was live before and is named in the part is
// allocated at its start, with the size it then had. With `threads`, every block that one of them
// names is taken with all its operations in the part; those of other threads become the thread's
// that named it first.
bool trace_cut(struct ops *out, const struct trace *trace, const struct cut_options *options,
               struct ops_error *error);

struct trim_options {
    uint32_t ops;      // wanted, about
    uint64_t size_max; // blocks that grow larger are left out
};

// Takes whole blocks, chosen so that each kind of block (size, lifetime, freed by another thread)
// keeps its share, and at least one of each kind where that leaves room for more. The order of what
// is left does not change; lifetimes shrink with the length of the trace. Time marks become fewer.
bool trace_trim(struct ops *out, const struct trace *trace, const struct trim_options *options,
                struct ops_error *error);

// Runs several traces at once, each with threads of its own, evenly interleaved; or one after the
// other (`in_turn`). Time marks come from the first one only.
bool trace_merge(struct ops *out, const struct trace *traces, size_t count, bool in_turn,
                 struct ops_error *error);

#endif

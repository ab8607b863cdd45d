// trace_file.h: reads and writes files of traces.
#ifndef TRACE_TRACE_FILE_H
#define TRACE_TRACE_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "../fuzz/ops.h"
#include "blocks.h"
#include "recording.h"

struct trace {
    struct ops ops;
    struct block_table blocks;
    bool recorded;                    // it comes from a recording
    struct recording_summary summary; // if so
};

// Reads a recording or any form of fuzz/ops.h. False: `error` says where and why, and the trace is
// empty. With `salvage` the good part of a damaged recording is taken (true, with `error` filled);
// `error->reason` is empty if all was well.
bool trace_load(struct trace *trace, const char *path, bool salvage, struct ops_error *error);
// Writes `ops` in one of the two binary forms. False: `error` has the reason; no file is left.
bool trace_save(const struct ops *ops, enum ops_form form, const char *path,
                struct ops_error *error);
void trace_free(struct trace *trace);

#endif

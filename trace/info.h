// info.h: what a trace is made of, as text for people.
#ifndef TRACE_INFO_H
#define TRACE_INFO_H

#include <stdio.h>

#include "trace_file.h"

// Prints counts of operations, threads, peak, sizes, lifetimes and cross-thread frees. False: out
// of memory.
bool trace_print_info(const struct trace *trace, const char *path, FILE *out);

#endif

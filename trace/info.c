// info.c: statistics of a trace.
//
// One pass over the operations follows live blocks, bytes and threads; one over the blocks fills
// the histograms. Lifetimes are counted in operations of the trace, sizes are those asked for (the
// largest a block ever had). A thread runs until it exits, or else to its last operation.
#include "info.h"

#include <inttypes.h>
#include <stdlib.h>

#define BUCKETS 65 // [i]: numbers of i significant bits

struct totals {
    uint64_t by_kind[OP_KIND_COUNT];
    uint64_t asked_bytes; // by all allocations and by what reallocs grew
    uint64_t live_bytes;
    uint64_t live_blocks;
    uint64_t peak_bytes;
    uint64_t peak_blocks;
    size_t peak_at; // operation
    uint64_t time_ms;
    uint64_t lives; // of threads: each exit ends one
    unsigned running_max;
};

struct histogram {
    uint64_t count[BUCKETS];
    uint64_t bytes[BUCKETS];
    uint64_t blocks;
    uint64_t all_bytes;
};

static unsigned significant_bits(uint64_t n)
{
    return n ? 64 - (unsigned)__builtin_clzll(n) : 0;
}

static void follow_block(struct totals *t, const struct trace *trace, size_t i, uint64_t *size)
{
    const struct op *op = &trace->ops.list[i];
    const struct block *block = &trace->blocks.list[trace->blocks.of_op[i]];
    uint64_t bytes = op_bytes(op);
    if (block->born == i) {
        t->asked_bytes += bytes;
        t->live_bytes += bytes;
        t->live_blocks++;
        *size = bytes;
    } else if (block->died == i) {
        t->live_bytes -= *size;
        t->live_blocks--;
    } else if (op->kind == OP_REALLOC || op->kind == OP_REALLOCARRAY) {
        t->asked_bytes += bytes > *size ? bytes - *size : 0;
        t->live_bytes += bytes - *size;
        *size = bytes;
    }
    if (t->live_bytes > t->peak_bytes) {
        t->peak_bytes = t->live_bytes;
        t->peak_at = i;
    }
    if (t->live_blocks > t->peak_blocks)
        t->peak_blocks = t->live_blocks;
}

// The last operation of each thread, the clock's ticks aside, which are nobody's.
static void find_last(size_t *last, const struct trace *trace)
{
    for (size_t i = 0; i < trace->ops.count; i++)
        if (trace->ops.list[i].kind != OP_TICK)
            last[trace->ops.list[i].thread] = i;
}

static bool count_ops(struct totals *t, const struct trace *trace)
{
    uint64_t *sizes = calloc(trace->blocks.count + 1, sizeof *sizes);
    bool *running = calloc(trace->ops.header.threads, sizeof *running);
    size_t *last = calloc(trace->ops.header.threads, sizeof *last);
    bool ok = sizes && running && last;
    unsigned running_count = 0;
    if (ok)
        find_last(last, trace);
    for (size_t i = 0; ok && i < trace->ops.count; i++) {
        const struct op *op = &trace->ops.list[i];
        t->by_kind[op->kind]++;
        if (op->kind == OP_TICK) {
            t->time_ms += op->size;
            continue;
        }
        t->lives += !running[op->thread];
        running_count += !running[op->thread];
        if (running_count > t->running_max)
            t->running_max = running_count;
        running[op->thread] = op->kind != OP_EXIT && i != last[op->thread];
        running_count -= !running[op->thread];
        if (trace->blocks.of_op[i] != NO_BLOCK)
            follow_block(t, trace, i, &sizes[trace->blocks.of_op[i]]);
    }
    free(sizes);
    free(running);
    free(last);
    return ok;
}

static void add(struct histogram *h, uint64_t n, uint64_t bytes)
{
    unsigned bits = significant_bits(n);
    h->count[bits]++;
    h->bytes[bits] += bytes;
    h->blocks++;
    h->all_bytes += bytes;
}

static double percent(uint64_t part, uint64_t all)
{
    return all ? 100 * (double)part / (double)all : 0;
}

static void print_histogram(const struct histogram *h, const char *title, FILE *out)
{
    fprintf(out, "%-24s %12s %7s %7s\n", title, "blocks", "share", "bytes");
    for (unsigned i = 0; i < BUCKETS; i++) {
        if (h->count[i] == 0)
            continue;
        uint64_t low = i > 1 ? (uint64_t)1 << (i - 1) : i;
        uint64_t high = i > 1 ? low + (low - 1) : i;
        fprintf(out, "  %10" PRIu64 "-%-10" PRIu64 " %12" PRIu64 " %6.2f%% %6.2f%%\n", low, high,
                h->count[i], percent(h->count[i], h->blocks), percent(h->bytes[i], h->all_bytes));
    }
}

static void print_origin(const struct trace *trace, FILE *out)
{
    const struct recording_header *header = &trace->summary.header;
    if (!trace->recorded)
        return;
    fprintf(out, "recorded from   %s, process %u of parent %u%s%s\n", header->program, header->pid,
            header->parent_pid, header->flags & RECORDING_FORKED ? ", after a fork" : "",
            header->flags & RECORDING_CLOSED ? "" : ", which did not end in order");
    fprintf(out, "unknown frees   %" PRIu64 "\nmissed frees    %" PRIu64 "\n",
            trace->summary.frees_unknown, trace->summary.frees_missed);
}

static void print_totals(const struct totals *t, const struct trace *trace, FILE *out)
{
    fprintf(out, "operations      %zu\n", trace->ops.count);
    for (unsigned kind = 0; kind < OP_KIND_COUNT; kind++)
        if (t->by_kind[kind])
            fprintf(out, "  %-18s %12" PRIu64 " %6.2f%%\n", ops_kind_name(kind), t->by_kind[kind],
                    percent(t->by_kind[kind], trace->ops.count));
    fprintf(out, "threads         %u at a time at most, %" PRIu64 " in all; replay --threads: %u\n",
            t->running_max, t->lives, trace->ops.header.threads);
    fprintf(out, "time            %" PRIu64 " ms\n", t->time_ms);
    fprintf(out, "asked for       %" PRIu64 " bytes\n", t->asked_bytes);
    fprintf(out, "peak            %" PRIu64 " bytes at operation %zu, %" PRIu64 " blocks\n",
            t->peak_bytes, t->peak_at, t->peak_blocks);
    fprintf(out, "left at the end %" PRIu64 " bytes in %" PRIu64 " blocks\n", t->live_bytes,
            t->live_blocks);
}

bool trace_print_info(const struct trace *trace, const char *path, FILE *out)
{
    struct totals totals = { 0 };
    struct histogram sizes = { 0 }, lifetimes = { 0 };
    uint64_t freed = 0, crossing = 0;
    if (!count_ops(&totals, trace))
        return false;
    for (size_t b = 0; b < trace->blocks.count; b++) {
        const struct block *block = &trace->blocks.list[b];
        add(&sizes, block->size_max, block->size_max);
        if (block->died == NEVER)
            continue;
        add(&lifetimes, block->died - block->born, block->size_max);
        freed++;
        crossing += block->died_thread != block->thread;
    }
    fprintf(out, "file            %s\n", path);
    print_origin(trace, out);
    print_totals(&totals, trace, out);
    fprintf(out, "cross-thread    %" PRIu64 " of %" PRIu64 " frees, %.2f%%\n", crossing, freed,
            percent(crossing, freed));
    print_histogram(&sizes, "size in bytes", out);
    print_histogram(&lifetimes, "lifetime in operations", out);
    return true;
}

// edit.c: cutting, trimming and merging of traces.
//
// All three walk the operations in order and hand those that stay to a writer, which gives slots
// and threads new numbers:
//
//   writer.slot_of[block]  the slot of a block while it lives in the result
//   writer.spare           slots of blocks that died there, used again last first
//   writer.thread_of[t]    new number of thread t, NO_THREAD until it is first needed
//
// Failure: out of memory or more threads than a trace can name; the result is released.
#include "edit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_THREAD UINT32_MAX
#define OPS_PER_TICK 50 // of a trimmed trace
#define OPS_PER_BLOCK 2
#define KINDS_OF_BLOCK_MAX ((size_t)64 * 2 * 34 * 2)

struct writer {
    struct ops *out;
    uint32_t *slot_of;
    uint32_t *spare;
    size_t spare_count;
    uint32_t *thread_of;
    uint32_t threads;
    uint32_t slots;
    uint64_t waited_ms; // ticks not yet written: neighbours become one
    uint64_t tick_ms;   // they become one of this length at least
    const char *failure;
};

static bool finish(struct writer *w, struct ops_error *error)
{
    bool ok = !w->failure;
    free(w->slot_of);
    free(w->spare);
    free(w->thread_of);
    if (!ok) {
        *error = (struct ops_error){ 0 };
        snprintf(error->reason, sizeof error->reason, "%s", w->failure);
        ops_free(w->out);
    }
    return ok;
}

static bool start(struct writer *w, struct ops *out, size_t blocks, uint32_t threads)
{
    *w = (struct writer){ .out = out };
    memset(out, 0, sizeof *out);
    ops_clear(out);
    w->slot_of = calloc(blocks + 1, sizeof *w->slot_of);
    w->spare = calloc(blocks + 1, sizeof *w->spare);
    w->thread_of = malloc(((size_t)threads + 1) * sizeof *w->thread_of);
    if (!w->slot_of || !w->spare || !w->thread_of) {
        w->failure = "out of memory";
        return false;
    }
    for (uint32_t i = 0; i < threads; i++)
        w->thread_of[i] = NO_THREAD;
    return true;
}

static void push(struct writer *w, struct op op, uint32_t thread)
{
    if (w->failure)
        return;
    if (w->thread_of[thread] == NO_THREAD)
        w->thread_of[thread] = w->threads++;
    if (w->threads > OPS_THREADS_MAX) {
        w->failure = "more threads than a trace can name";
        return;
    }
    op.thread = (uint16_t)w->thread_of[thread];
    if (w->waited_ms > 0 && w->waited_ms >= w->tick_ms) {
        struct op tick = { .kind = OP_TICK, .thread = op.thread, .size = w->waited_ms };
        w->waited_ms = 0;
        if (!ops_push(w->out, tick))
            w->failure = "out of memory";
    }
    if (w->out->count >= TRACE_OPS_MAX)
        w->failure = "more operations than a trace can hold";
    else if (!ops_push(w->out, op))
        w->failure = "out of memory";
}

// An operation on `block`, which it gives its slot if it `begins` and takes it from if it `ends`.
static void push_block(struct writer *w, struct op op, uint32_t thread, uint32_t block, bool begins,
                       bool ends)
{
    if (begins)
        w->slot_of[block] = w->spare_count ? w->spare[--w->spare_count] : w->slots++;
    op.slot = w->slot_of[block];
    push(w, op, thread);
    if (ends)
        w->spare[w->spare_count++] = w->slot_of[block];
}

// ---- cut ----

struct part {
    uint32_t from; // operations
    uint32_t to;
    uint32_t *keeper; // by block: the thread that its operations belong to, NO_THREAD: left out
    uint64_t *size;   // by block: at the start of the part
};

static bool takes_thread(const struct cut_options *options, uint16_t thread)
{
    return !options->threads || (thread < options->threads_max && options->threads[thread]);
}

static void find_part(struct part *part, const struct ops *ops, const struct cut_options *options)
{
    uint64_t now_ms = 0;
    part->from = part->to = (uint32_t)ops->count;
    uint64_t last = (uint64_t)options->skip + options->first;
    for (uint32_t i = 0; i < ops->count; i++) {
        if (ops->list[i].kind == OP_TICK)
            now_ms += ops->list[i].size;
        if (i < options->skip || now_ms < options->from_ms)
            continue;
        if (i >= last || now_ms >= options->to_ms) {
            part->to = i;
            break;
        }
        if (part->from == ops->count)
            part->from = i;
    }
    if (part->from > part->to)
        part->from = part->to;
}

// Which blocks are taken, by whom, and how large they are when the part begins.
static void find_keepers(struct part *part, const struct trace *trace,
                         const struct cut_options *options)
{
    for (size_t b = 0; b < trace->blocks.count; b++) {
        const struct block *block = &trace->blocks.list[b];
        bool live = block->born < part->from && block->died >= part->from;
        part->keeper[b] = live && options->keep_live && takes_thread(options, block->thread)
                              ? block->thread
                              : NO_THREAD;
        part->size[b] = block->size;
    }
    for (uint32_t i = 0; i < part->to; i++) {
        const struct op *op = &trace->ops.list[i];
        uint32_t b = trace->blocks.of_op[i];
        if (b == NO_BLOCK)
            continue;
        if (i < part->from && (op->kind == OP_REALLOC || op->kind == OP_REALLOCARRAY))
            part->size[b] = op_bytes(op);
        if (i >= part->from && part->keeper[b] == NO_THREAD && takes_thread(options, op->thread))
            part->keeper[b] = op->thread;
    }
}

static void write_live(struct writer *w, const struct part *part, const struct trace *trace)
{
    for (uint32_t b = 0; b < trace->blocks.count; b++) {
        const struct block *block = &trace->blocks.list[b];
        if (part->keeper[b] == NO_THREAD || block->born >= part->from || block->died < part->from)
            continue;
        struct op op = trace->ops.list[block->born];
        if (op.kind == OP_REALLOC || op.kind == OP_REALLOCARRAY)
            op = (struct op){ .kind = OP_MALLOC };
        if (op.kind == OP_CALLOC)
            op.arg = 1;
        op.size = part->size[b];
        push_block(w, op, part->keeper[b], b, true, false);
    }
}

static void write_part(struct writer *w, const struct part *part, const struct trace *trace,
                       const struct cut_options *options)
{
    for (uint32_t i = part->from; i < part->to; i++) {
        const struct op *op = &trace->ops.list[i];
        uint32_t b = trace->blocks.of_op[i];
        if (op->kind == OP_TICK)
            w->waited_ms += op->size;
        else if (b == NO_BLOCK && takes_thread(options, op->thread))
            push(w, *op, op->thread);
        else if (b != NO_BLOCK && part->keeper[b] != NO_THREAD)
            push_block(w, *op, takes_thread(options, op->thread) ? op->thread : part->keeper[b], b,
                       trace->blocks.list[b].born == i, trace->blocks.list[b].died == i);
    }
}

static void write_frees(struct writer *w, const struct part *part, const struct trace *trace)
{
    for (uint32_t b = 0; b < trace->blocks.count; b++) {
        const struct block *block = &trace->blocks.list[b];
        if (part->keeper[b] != NO_THREAD && block->born < part->to && block->died >= part->to)
            push_block(w, (struct op){ .kind = OP_FREE }, part->keeper[b], b, false, true);
    }
}

bool trace_cut(struct ops *out, const struct trace *trace, const struct cut_options *options,
               struct ops_error *error)
{
    struct writer w;
    struct part part = { 0 };
    size_t blocks = trace->blocks.count;
    if (start(&w, out, blocks, trace->ops.header.threads)) {
        part.keeper = calloc(blocks + 1, sizeof *part.keeper);
        part.size = calloc(blocks + 1, sizeof *part.size);
        if (part.keeper && part.size) {
            find_part(&part, &trace->ops, options);
            find_keepers(&part, trace, options);
            write_live(&w, &part, trace);
            write_part(&w, &part, trace, options);
            if (options->free_at_end)
                write_frees(&w, &part, trace);
        } else {
            w.failure = "out of memory";
        }
        free(part.keeper);
        free(part.size);
    }
    return finish(&w, error);
}

// ---- trim ----

// Two buckets for each doubling; 0 and 1 share one.
static unsigned bucket(uint64_t n)
{
    unsigned power = n > 1 ? 63 - (unsigned)__builtin_clzll(n) : 0;
    return power * 2 + (power > 0 && (n >> (power - 1) & 1));
}

static size_t kind_of_block(const struct block *block)
{
    unsigned lifetime = 33; // never freed
    if (block->died != NEVER)
        lifetime = bucket(block->died - block->born) / 2;
    bool crosses = block->died_thread != block->thread;
    return (bucket(block->size_max) * 34 + lifetime) * 2 + crosses;
}

// How many kinds of block there are.
static size_t count_kinds(const struct trace *trace, double *seen)
{
    size_t kinds = 0;
    for (size_t b = 0; b < trace->blocks.count; b++) {
        double *kind = &seen[kind_of_block(&trace->blocks.list[b])];
        kinds += *kind == 0;
        *kind = 1;
    }
    return kinds;
}

// Takes every block whose kind has gathered a whole share. The first one of each kind has one at
// once, unless there are so many kinds that little else would be left: then it needs half of one.
static void choose(bool *taken, const struct trace *trace, const struct trim_options *options,
                   double *shares)
{
    double share = trace->ops.count ? (double)options->ops / (double)trace->ops.count : 1;
    double first = count_kinds(trace, shares) * OPS_PER_BLOCK > options->ops / 2 ? 0.5 : 1;
    for (size_t i = 0; i < KINDS_OF_BLOCK_MAX; i++)
        shares[i] = first - share;
    for (size_t b = 0; b < trace->blocks.count; b++) {
        const struct block *block = &trace->blocks.list[b];
        double *gathered = &shares[kind_of_block(block)];
        if (block->size_max > options->size_max)
            continue;
        *gathered += share;
        taken[b] = *gathered >= 1;
        *gathered -= taken[b];
    }
}

static void write_taken(struct writer *w, const bool *taken, const struct trace *trace,
                        const struct trim_options *options)
{
    // Else a small part of a long trace would be mostly ticks.
    for (uint32_t i = 0; i < trace->ops.count; i++)
        if (trace->ops.list[i].kind == OP_TICK)
            w->tick_ms += trace->ops.list[i].size;
    w->tick_ms = w->tick_ms * OPS_PER_TICK / options->ops;
    for (uint32_t i = 0; i < trace->ops.count; i++) {
        const struct op *op = &trace->ops.list[i];
        uint32_t b = trace->blocks.of_op[i];
        if (op->kind == OP_TICK)
            w->waited_ms += op->size;
        else if (b != NO_BLOCK && taken[b])
            push_block(w, *op, op->thread, b, trace->blocks.list[b].born == i,
                       trace->blocks.list[b].died == i);
        else if (b == NO_BLOCK && w->thread_of[op->thread] != NO_THREAD)
            push(w, *op, op->thread);
    }
}

bool trace_trim(struct ops *out, const struct trace *trace, const struct trim_options *options,
                struct ops_error *error)
{
    struct writer w;
    if (start(&w, out, trace->blocks.count, trace->ops.header.threads)) {
        bool *taken = calloc(trace->blocks.count + 1, sizeof *taken);
        double *shares = calloc(KINDS_OF_BLOCK_MAX, sizeof *shares);
        if (taken && shares) {
            choose(taken, trace, options, shares);
            write_taken(&w, taken, trace, options);
        } else {
            w.failure = "out of memory";
        }
        free(taken);
        free(shares);
    }
    return finish(&w, error);
}

// ---- merge ----

struct source {
    const struct trace *trace;
    uint32_t at;
    size_t first_block; // its blocks and threads, numbered through all sources
    uint32_t first_thread;
};

// The next one to speak: the source that is least far on, or the first that is not done.
static struct source *next_source(struct source *sources, size_t count, bool in_turn)
{
    struct source *next = NULL;
    for (size_t s = 0; s < count; s++) {
        struct source *source = &sources[s];
        uint64_t all = source->trace->ops.count;
        if (source->at >= all)
            continue;
        if (!next ||
            (!in_turn && (uint64_t)source->at * next->trace->ops.count < (uint64_t)next->at * all))
            next = source;
    }
    return next;
}

static void write_next(struct writer *w, struct source *source, bool keep_time)
{
    const struct op *op = &source->trace->ops.list[source->at];
    uint32_t b = source->trace->blocks.of_op[source->at];
    uint32_t thread = source->first_thread + op->thread;
    if (op->kind == OP_TICK) {
        w->waited_ms += keep_time ? op->size : 0;
    } else if (b == NO_BLOCK) {
        push(w, *op, thread);
    } else {
        const struct block *block = &source->trace->blocks.list[b];
        push_block(w, *op, thread, (uint32_t)(source->first_block + b), block->born == source->at,
                   block->died == source->at);
    }
    source->at++;
}

bool trace_merge(struct ops *out, const struct trace *traces, size_t count, bool in_turn,
                 struct ops_error *error)
{
    struct writer w;
    size_t blocks = 0;
    uint32_t threads = 0;
    struct source *sources = calloc(count + 1, sizeof *sources);
    for (size_t s = 0; sources && s < count; s++) {
        sources[s] = (struct source){ &traces[s], 0, blocks, threads };
        blocks += traces[s].blocks.count;
        threads += traces[s].ops.header.threads;
    }
    if (start(&w, out, blocks, threads)) {
        if (!sources)
            w.failure = "out of memory";
        if (blocks > TRACE_OPS_MAX)
            w.failure = "more blocks than a trace can hold";
        struct source *next;
        while (!w.failure && (next = next_source(sources, count, in_turn)))
            write_next(&w, next, next == sources);
    }
    free(sources);
    return finish(&w, error);
}

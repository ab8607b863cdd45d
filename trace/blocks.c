// blocks.c: follows each slot of a trace through its blocks; see blocks.h.
//
//   operations   malloc s0   malloc s1   free s0   malloc s0   free s1
//   of_op            0           1          0          2          1
//
// Invariant while building: current[s] is the block in slot s, or NO_BLOCK; it is as long as the
// slots seen so far, which are never more than the operations.
// Failure: an operation that makes no sense is refused with its index; tables are released.
#include "blocks.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_BYTES ((uint64_t)4096)

static bool refuse(struct ops_error *error, size_t index, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static bool refuse(struct ops_error *error, size_t index, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    error->text = false;
    error->where = index;
    vsnprintf(error->reason, sizeof error->reason, format, args);
    va_end(args);
    return false;
}

uint64_t op_bytes(const struct op *op)
{
    switch (op->kind) {
    case OP_CALLOC:
    case OP_REALLOCARRAY:
        return op->arg * op->size;
    case OP_PVALLOC:
        return (op->size + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    default:
        return op->size;
    }
}

static bool is_realloc(const struct op *op)
{
    return op->kind == OP_REALLOC || op->kind == OP_REALLOCARRAY;
}

bool op_begins(const struct op *op, bool live)
{
    return ops_fields(op->kind) & OPS_DST || (is_realloc(op) && !live);
}

bool op_ends(const struct op *op, bool live)
{
    return op->kind == OP_FREE || op->kind == OP_FREE_SIZED || op->kind == OP_FREE_ALIGNED_SIZED ||
           (is_realloc(op) && live && op_bytes(op) == 0);
}

void trace_locate(const struct ops *trace, size_t index, struct ops_error *error)
{
    uint8_t piece[OPS_TRACE_OP_MAX];
    int previous = -1;
    char reason[sizeof error->reason];
    memcpy(reason, error->reason, sizeof reason);
    snprintf(error->reason, sizeof error->reason, "operation %zu: %.80s", index, reason);
    error->text = false;
    error->where = OPS_HEADER_BYTES;
    for (size_t i = 0; i < index; i++) {
        error->where += trace->header.form == OPS_RECORDS
                            ? OPS_RECORD_BYTES
                            : ops_put_trace_op(&trace->list[i], previous, piece);
        previous = trace->list[i].thread;
    }
}

// ---- what makes sense ----

static bool check_kind(const struct op *op, size_t index, struct ops_error *error)
{
    switch (op->kind) {
    case OP_MALLOC:
    case OP_CALLOC:
    case OP_REALLOC:
    case OP_REALLOCARRAY:
    case OP_ALIGNED_ALLOC:
    case OP_POSIX_MEMALIGN:
    case OP_MEMALIGN:
    case OP_VALLOC:
    case OP_PVALLOC:
    case OP_FREE:
    case OP_FREE_SIZED:
    case OP_FREE_ALIGNED_SIZED:
    case OP_USABLE_SIZE:
    case OP_TOUCH:
    case OP_TRIM:
    case OP_FLUSH:
    case OP_EXIT:
    case OP_START:
    case OP_TICK:
        return true;
    default:
        return refuse(error, index, "operation '%s' has no place in a trace",
                      ops_kind_name(op->kind));
    }
}

static bool check_numbers(const struct op *op, size_t index, struct ops_error *error)
{
    bool counted = op->kind == OP_CALLOC || op->kind == OP_REALLOCARRAY;
    uint64_t total = op->size;
    if ((counted && __builtin_mul_overflow(op->arg, op->size, &total)) ||
        (total > (uint64_t)PTRDIFF_MAX - PAGE_BYTES && op->kind != OP_TOUCH))
        return refuse(error, index, "more than PTRDIFF_MAX bytes");
    bool aligned = op->kind == OP_ALIGNED_ALLOC || op->kind == OP_POSIX_MEMALIGN ||
                   op->kind == OP_MEMALIGN;
    if (aligned && (op->arg == 0 || (op->arg & (op->arg - 1)) != 0))
        return refuse(error, index, "alignment %llu is no power of two",
                      (unsigned long long)op->arg);
    if (op->kind == OP_POSIX_MEMALIGN && op->arg < sizeof(void *))
        return refuse(error, index, "posix_memalign with alignment %llu",
                      (unsigned long long)op->arg);
    return true;
}

static bool check_slot(const struct op *op, size_t index, bool live, uint32_t slots_seen,
                       struct ops_error *error)
{
    if (op->slot > slots_seen)
        return refuse(error, index, "slot %u after %u slots", op->slot, slots_seen);
    if (ops_fields(op->kind) & OPS_DST && live)
        return refuse(error, index, "slot %u still has a block", op->slot);
    if (ops_fields(op->kind) & OPS_SLOT && !live && !is_realloc(op))
        return refuse(error, index, "slot %u has no block", op->slot);
    return true;
}

// ---- the table ----

static bool add_block(struct block_table *table, const struct op *op, size_t index)
{
    if (table->count == table->capacity) {
        size_t wanted = table->capacity ? table->capacity * 2 : 1024;
        struct block *list = reallocarray(table->list, wanted, sizeof *list);
        if (!list)
            return false;
        table->list = list;
        table->capacity = wanted;
    }
    table->list[table->count++] = (struct block){
        .size = op_bytes(op),
        .size_max = op_bytes(op),
        .born = (uint32_t)index,
        .died = NEVER,
        .thread = op->thread,
        .died_thread = op->thread,
    };
    return true;
}

// Follows the operation; `current` is the entry of its slot.
static bool follow(struct block_table *table, const struct op *op, size_t index, uint32_t *current)
{
    bool live = *current != NO_BLOCK;
    if (op_begins(op, live)) {
        if (!add_block(table, op, index))
            return false;
        *current = (uint32_t)(table->count - 1);
    }
    struct block *block = &table->list[*current];
    table->of_op[index] = *current;
    block->ops++;
    if (is_realloc(op) && op_bytes(op) > block->size_max)
        block->size_max = op_bytes(op);
    if (op_ends(op, live)) {
        block->died = (uint32_t)index;
        block->died_thread = op->thread;
        *current = NO_BLOCK;
    }
    return true;
}

static bool build(struct block_table *table, const struct ops *trace, uint32_t *current,
                  struct ops_error *error)
{
    uint32_t slots_seen = 0;
    for (size_t i = 0; i < trace->count; i++) {
        const struct op *op = &trace->list[i];
        table->of_op[i] = NO_BLOCK;
        if (!check_kind(op, i, error) || !check_numbers(op, i, error))
            return false;
        if (!(ops_fields(op->kind) & (OPS_DST | OPS_SLOT)))
            continue;
        bool live = op->slot < slots_seen && current[op->slot] != NO_BLOCK;
        if (!check_slot(op, i, live, slots_seen, error))
            return false;
        if (op->slot == slots_seen)
            current[slots_seen++] = NO_BLOCK;
        if (!follow(table, op, i, &current[op->slot]))
            return refuse(error, i, "out of memory");
    }
    return true;
}

bool blocks_build(struct block_table *table, const struct ops *trace, struct ops_error *error)
{
    *table = (struct block_table){ 0 };
    if (trace->count > TRACE_OPS_MAX)
        return refuse(error, TRACE_OPS_MAX, "more than %u operations", TRACE_OPS_MAX);
    // One element more: an empty trace is not out of memory.
    table->of_op = calloc(trace->count + 1, sizeof *table->of_op);
    uint32_t *current = calloc(trace->count + 1, sizeof *current);
    bool ok = table->of_op && current ? build(table, trace, current, error)
                                      : refuse(error, 0, "out of memory");
    free(current);
    if (!ok)
        blocks_free(table);
    return ok;
}

void blocks_free(struct block_table *table)
{
    free(table->list);
    free(table->of_op);
    *table = (struct block_table){ 0 };
}

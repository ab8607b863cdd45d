// replay_block.c: operations on one block, with checks. Contents:
//
//   offset 0             4096          8192                    size
//   [pattern 8 bytes ... |x .......... |x ................ pattern 8 bytes]
//
// The pattern is different for every operation that writes it. Blocks of less than 8 bytes hold the
// start of it. x, the lowest byte of the pattern, is written with FILL_PAGES; FILL_ALL writes it to
// all bytes between.
#define _GNU_SOURCE
#include "replay_block.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blocks.h"

#define PAGE_BYTES ((size_t)4096)
#define PATTERN_BYTES sizeof(uint64_t)

struct check {
    char *reason;
    size_t reason_bytes;
};

static uint64_t pattern_of(uint32_t index)
{
    // An odd factor: different for each index; the lowest bit set, so that no byte x is zero.
    return (((uint64_t)index << 1 | 1) * 0x9e3779b97f4a7c15u) | 1;
}

// ---- contents ----

static void write_block(const struct replay_block *block, enum replay_fill fill)
{
    unsigned char *bytes = block->p;
    if (fill == FILL_ALL)
        memset(bytes, (int)(block->pattern & 0xff), block->size);
    if (fill == FILL_PAGES)
        for (size_t i = PAGE_BYTES; i < block->size; i += PAGE_BYTES)
            bytes[i] = (unsigned char)block->pattern;
    size_t n = block->size < PATTERN_BYTES ? block->size : PATTERN_BYTES;
    memcpy(bytes + block->size - n, &block->pattern, n);
    memcpy(bytes, &block->pattern, n);
}

static bool changed(const struct check *check, size_t offset, size_t size)
{
    snprintf(check->reason, check->reason_bytes,
             "the contents of a block of %zu bytes changed at offset %zu", size, offset);
    return false;
}

// The offset of the first byte from `at` to `end` that is not `x`, or `end`.
static size_t find_other(const unsigned char *bytes, unsigned char x, size_t at, size_t end)
{
    while (at < end && bytes[at] == x)
        at++;
    return at;
}

// Checks what was written, as far as the first `kept` bytes go: the end that a shrinking realloc
// cut off is gone.
static bool check_block(const struct replay_block *block, size_t kept, enum replay_fill fill,
                        const struct check *check)
{
    const unsigned char *bytes = block->p;
    size_t n = block->size < PATTERN_BYTES ? block->size : PATTERN_BYTES;
    size_t head = kept < n ? kept : n;
    unsigned char x = (unsigned char)block->pattern;
    if (memcmp(bytes, &block->pattern, head) != 0)
        return changed(check, 0, block->size);
    // Below 16 bytes the two patterns overlap, and the first was written last.
    if (kept == block->size && block->size >= 2 * PATTERN_BYTES &&
        memcmp(bytes + block->size - n, &block->pattern, n) != 0)
        return changed(check, block->size - n, block->size);
    if (block->size < 2 * PATTERN_BYTES)
        return true;
    size_t end = block->size - PATTERN_BYTES;
    end = kept < end ? kept : end;
    if (fill == FILL_PAGES)
        for (size_t i = PAGE_BYTES; i < end; i += PAGE_BYTES)
            if (bytes[i] != x)
                return changed(check, i, block->size);
    size_t other = fill == FILL_ALL ? find_other(bytes, x, PATTERN_BYTES, end) : end;
    return other >= end || changed(check, other, block->size);
}

static bool check_zero(const struct replay_block *block, enum replay_fill fill,
                       const struct check *check)
{
    const unsigned char *bytes = block->p;
    size_t head = block->size < PATTERN_BYTES ? block->size : PATTERN_BYTES;
    size_t end = fill == FILL_ALL ? block->size : head;
    size_t at = find_other(bytes, 0, 0, end);
    if (at == end && fill != FILL_ALL) {
        end = block->size;
        at = find_other(bytes, 0, end - head, end);
    }
    if (at < end) {
        snprintf(check->reason, check->reason_bytes,
                 "calloc of %zu bytes gave no zero at offset %zu", block->size, at);
        return false;
    }
    return true;
}

// ---- operations ----

static void *call(const struct op *op, void *p)
{
    switch (op->kind) {
    case OP_MALLOC:
        return malloc(op->size);
    case OP_CALLOC:
        return calloc(op->arg, op->size);
    case OP_REALLOC:
        return realloc(p, op->size);
    case OP_REALLOCARRAY:
        return reallocarray(p, op->arg, op->size);
    case OP_ALIGNED_ALLOC:
        return aligned_alloc(op->arg, op->size);
    case OP_POSIX_MEMALIGN: {
        void *out = NULL;
        errno = posix_memalign(&out, op->arg, op->size);
        return out;
    }
    case OP_MEMALIGN:
        return memalign(op->arg, op->size);
    case OP_VALLOC:
        return valloc(op->size);
    case OP_PVALLOC:
        return pvalloc(op->size);
    default:
        return NULL;
    }
}

static size_t alignment(const struct op *op)
{
    switch (op->kind) {
    case OP_ALIGNED_ALLOC:
    case OP_POSIX_MEMALIGN:
    case OP_MEMALIGN:
        return op->arg;
    case OP_VALLOC:
    case OP_PVALLOC:
        return PAGE_BYTES;
    default: // every allocator gives 8 at least, and 16 to blocks of 16 bytes
        return op_bytes(op) >= 16 ? 16 : 8;
    }
}

static bool allocate(struct replay_block *block, const struct op *op, uint32_t index,
                     enum replay_fill fill, const struct check *check)
{
    struct replay_block old = *block;
    void *p = call(op, old.p);
    size_t size = (size_t)op_bytes(op);
    if (!p) {
        snprintf(check->reason, check->reason_bytes, "%s of %zu bytes failed: %s",
                 ops_kind_name(op->kind), size, strerrordesc_np(errno));
        return false;
    }
    if ((uintptr_t)p % alignment(op) != 0) {
        snprintf(check->reason, check->reason_bytes, "%s of %zu bytes gave %p, aligned to %zu",
                 ops_kind_name(op->kind), size, p, (size_t)1 << __builtin_ctzll((uintptr_t)p));
        return false;
    }
    if (old.p) { // a realloc: what was there moved along
        size_t kept = old.size < size ? old.size : size;
        block->p = old.p = p;
        if (!check_block(&old, kept, fill, check))
            return false;
    }
    *block = (struct replay_block){ p, size, pattern_of(index) };
    if (op->kind == OP_CALLOC && !check_zero(block, fill, check))
        return false;
    write_block(block, fill);
    return true;
}

static bool check_usable(const struct replay_block *block, const struct check *check)
{
    size_t usable = malloc_usable_size(block->p);
    if (usable >= block->size)
        return true;
    snprintf(check->reason, check->reason_bytes, "usable size %zu of a block of %zu bytes", usable,
             block->size);
    return false;
}

bool replay_block_op(struct replay_block *block, const struct op *op, uint32_t index,
                     enum replay_fill fill, char *reason, size_t reason_bytes)
{
    struct check check = { reason, reason_bytes };
    if (op->kind == OP_USABLE_SIZE)
        return check_usable(block, &check);
    if (op->kind != OP_TOUCH && !op_ends(op, block->p != NULL))
        return allocate(block, op, index, fill, &check);
    if (!check_block(block, block->size, fill, &check))
        return false;
    if (op->kind == OP_TOUCH) {
        block->pattern = pattern_of(index);
        write_block(block, fill);
        return true;
    }
    if (op->kind == OP_REALLOC || op->kind == OP_REALLOCARRAY) {
        // Some allocators free here, others give a block of no bytes: it ends all the same.
        void *rest = call(op, block->p);
        free(rest);
    } else {
        free(block->p);
    }
    *block = (struct replay_block){ 0 };
    return true;
}

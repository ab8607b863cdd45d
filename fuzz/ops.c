// ops.c: the binary forms of the operation language, and the program that they decode to.
//
// A record, 12 bytes, little-endian:
//   0 kind | 1 thread | 2 slot (2) | 4 forms: low nibble of the size, high nibble of the argument
//   5 argument (3) | 8 size (4)
// A trace operation: kind (bit 7: same thread as the one before), then as LEB128 numbers those of
// thread, slot, argument and size that the kind has.
//
// A number of a record is a form and a value, so that four bytes reach every boundary that matters:
// class and page sizes, powers of two and their neighbours, PTRDIFF_MAX and SIZE_MAX. Encoding
// takes the first form that fits; strict decoding refuses any other, and any byte that a kind does
// not use, so that a program has one encoding. Lenient decoding reduces instead of refusing.
//
// A program that failed to decode is left empty. Arrays only grow and belong to the program.
#include "ops_codec.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define HALF ((uint64_t)INT64_MAX)
_Static_assert(OP_KIND_COUNT <= SAME_THREAD, "a kind leaves bit 7 free");
_Static_assert(OPS_TRACE_OP_MAX <= OPS_HEADER_BYTES, "one buffer holds any piece of a file");

static const unsigned char fields_of[OP_KIND_COUNT] = {
#define OPS_FIELDS(id, name, fields) [OP_##id] = (fields),
    OPS_KINDS(OPS_FIELDS)
#undef OPS_FIELDS
};

unsigned ops_fields(unsigned kind)
{
    return kind < OP_KIND_COUNT ? fields_of[kind] : 0;
}

// ---- the program ----

void ops_free(struct ops *program)
{
    free(program->list);
    free(program->decisions);
    memset(program, 0, sizeof *program);
}

void ops_clear(struct ops *program)
{
    memset(&program->header, 0, sizeof program->header);
    program->header.threads = 1;
    program->count = program->decision_count = 0;
    program->slots = 0;
}

static bool grow(void **array, size_t *capacity, size_t element_bytes)
{
    size_t wanted = *capacity ? *capacity * 2 : 64;
    void *moved = reallocarray(*array, wanted, element_bytes);
    if (!moved)
        return false;
    *array = moved;
    *capacity = wanted;
    return true;
}

bool ops_push(struct ops *program, struct op op)
{
    if (program->count == program->capacity &&
        !grow((void **)&program->list, &program->capacity, sizeof *program->list))
        return false;
    program->list[program->count++] = op;
    if (program->header.threads <= op.thread)
        program->header.threads = op.thread + 1;
    if (ops_fields(op.kind) & (OPS_DST | OPS_SLOT) && program->slots <= op.slot)
        program->slots = op.slot + 1;
    return true;
}

bool ops_push_decision(struct ops *program, struct decision decision)
{
    if (program->decision_count == program->decision_capacity &&
        !grow((void **)&program->decisions, &program->decision_capacity,
              sizeof *program->decisions))
        return false;
    program->decisions[program->decision_count++] = decision;
    return true;
}

bool ops_reserve(struct ops *program, size_t ops, size_t decisions)
{
    bool ok = true;
    ops_clear(program);
    for (size_t i = 0; i < ops; i++)
        ok &= ops_push(program, (struct op){ .kind = OP_BARRIER });
    for (size_t i = 0; i < decisions; i++)
        ok &= ops_push_decision(program, (struct decision){ .kind = DECIDE_RUN });
    ops_clear(program);
    return ok;
}

bool ops_refuse(struct ops_error *error, bool text, size_t where, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    error->text = text;
    error->where = where;
    vsnprintf(error->reason, sizeof error->reason, format, args);
    va_end(args);
    return false;
}

// ---- numbers of records ----

static int64_t signed_of(uint64_t v, unsigned bits)
{
    return (int64_t)(v << (64 - bits)) >> (64 - bits);
}

uint64_t ops_number_decode(unsigned form, uint64_t v, unsigned bits)
{
    switch (form) {
    case NUMBER_PAGES:
        return v << 12;
    case NUMBER_POWER:
        return ((uint64_t)1 << (v & 63)) + (uint64_t)signed_of(v >> 6, bits - 6);
    case NUMBER_TOP:
        return UINT64_MAX - v;
    case NUMBER_HALF:
        return HALF + (uint64_t)signed_of(v, bits);
    default:
        return v;
    }
}

bool ops_number_encode(uint64_t n, unsigned bits, unsigned *form, uint64_t *v)
{
    uint64_t mask = ((uint64_t)1 << bits) - 1;
    uint64_t try[NUMBER_COUNT] = { n, n >> 12, 0, UINT64_MAX - n, n - HALF };
    // The nearest power of two: the one below, or above where the distance is shorter.
    unsigned power = n ? 63 - (unsigned)__builtin_clzll(n) : 0;
    if (power < 63 && n - ((uint64_t)1 << power) > ((uint64_t)1 << power) / 2)
        power++;
    try[NUMBER_POWER] = (n - ((uint64_t)1 << power)) << 6 | power;
    for (unsigned f = 0; f < NUMBER_COUNT; f++)
        if (ops_number_decode(f, try[f] & mask, bits) == n) {
            *form = f;
            *v = try[f] & mask;
            return true;
        }
    return false;
}

// ---- encoding ----

size_t ops_put_header(const struct ops_header *header, uint32_t op_count, uint32_t decision_count,
                      uint8_t out[OPS_HEADER_BYTES])
{
    memset(out, 0, OPS_HEADER_BYTES);
    memcpy(out, "HAKO", 4);
    out[4] = 1;
    out[5] = header->form;
    out[6] = header->strategy;
    out[7] = header->geometry;
    put(out + 8, header->seed, 4);
    put(out + 12, header->threads, 2);
    put(out + 14, header->arena_mib, 2);
    put(out + 16, op_count, 4);
    put(out + 20, decision_count, 4);
    out[24] = header->depth;
    return OPS_HEADER_BYTES;
}

bool ops_put_record(const struct op *op, uint8_t record[OPS_RECORD_BYTES])
{
    unsigned size_form, arg_form;
    uint64_t size, arg;
    if (!ops_number_encode(op->size, SIZE_BITS, &size_form, &size) ||
        !ops_number_encode(op->arg, ARG_BITS, &arg_form, &arg) || op->slot >= OPS_RECORD_SLOTS ||
        op->thread >= OPS_RECORD_THREADS)
        return false;
    record[0] = op->kind;
    record[1] = (uint8_t)op->thread;
    put(record + 2, op->slot, 2);
    record[4] = (uint8_t)(size_form | arg_form << 4);
    put(record + 5, arg, 3);
    put(record + 8, size, 4);
    return true;
}

static size_t put_number(uint8_t *to, uint64_t v)
{
    size_t length = 0;
    for (; v >= 0x80; v >>= 7)
        to[length++] = (uint8_t)(v | 0x80);
    to[length++] = (uint8_t)v;
    return length;
}

size_t ops_put_trace_op(const struct op *op, int previous, uint8_t out[OPS_TRACE_OP_MAX])
{
    unsigned fields = ops_fields(op->kind);
    bool same = op->thread == previous;
    size_t length = 0;
    out[length++] = (uint8_t)(op->kind | (same ? SAME_THREAD : 0));
    if (!same)
        length += put_number(out + length, op->thread);
    if (fields & (OPS_DST | OPS_SLOT))
        length += put_number(out + length, op->slot);
    if (fields & OPS_ARG)
        length += put_number(out + length, op->arg);
    if (fields & OPS_SIZE)
        length += put_number(out + length, op->size);
    return length;
}

size_t ops_encode(const struct ops *program, enum ops_form form, uint8_t *out, size_t capacity,
                  struct ops_error *error)
{
    struct ops_header header = program->header;
    uint8_t piece[OPS_HEADER_BYTES];
    header.form = (uint8_t)form;
    size_t length = ops_put_header(&header, (uint32_t)program->count,
                                   (uint32_t)program->decision_count, piece);
    if (length <= capacity)
        memcpy(out, piece, length);
    int previous = -1;
    if (form == OPS_RECORDS && header.threads > OPS_RECORD_THREADS) {
        ops_refuse(error, false, 0, "%u threads do not fit in records: use a trace",
                   header.threads);
        return 0;
    }
    for (size_t i = 0; i < program->count; i++) {
        const struct op *op = &program->list[i];
        size_t bytes = OPS_RECORD_BYTES;
        if (form == OPS_TRACE)
            bytes = ops_put_trace_op(op, previous, piece);
        else if (!ops_put_record(op, piece)) {
            ops_refuse(error, false, i, "operation %zu does not fit in a record: use a trace", i);
            return 0;
        }
        if (length + bytes <= capacity)
            memcpy(out + length, piece, bytes);
        length += bytes;
        previous = op->thread;
    }
    for (size_t i = 0; i < program->decision_count; i++) {
        const struct decision *d = &program->decisions[i];
        put(piece, d->thread, 2);
        piece[2] = d->kind;
        piece[3] = d->choice;
        put(piece + 4, d->step, 4);
        if (length + OPS_DECISION_BYTES <= capacity)
            memcpy(out + length, piece, OPS_DECISION_BYTES);
        length += OPS_DECISION_BYTES;
    }
    return length;
}

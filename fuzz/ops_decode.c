// ops_decode.c: files of operations, read strictly; fuzz inputs, read leniently. Forms: ops.c.
//
// Strict decoding refuses what is malformed and every needless way to say the same, so that what is
// accepted has one encoding. Lenient decoding reduces each field to its range, and folds sizes into
// what the harness can afford, except those that no allocator can serve.
// A program that failed to decode is left empty. Nothing is read beyond `bytes`.
#include "ops_codec.h"

#include <string.h>

#define refuse(error, ...) ops_refuse(error, false, __VA_ARGS__)

// ---- strict decoding ----

static void get_header(struct ops_header *header, const uint8_t *data)
{
    header->form = data[5];
    header->strategy = data[6];
    header->geometry = data[7];
    header->depth = data[24];
    header->seed = (uint32_t)get(data + 8, 4);
    header->threads = (uint16_t)get(data + 12, 2);
    header->arena_mib = (uint16_t)get(data + 14, 2);
}

static bool check_header(const uint8_t *data, size_t bytes, struct ops_error *error)
{
    if (bytes < OPS_HEADER_BYTES)
        return refuse(error, bytes, "the file ends inside of the header of %u bytes",
                      OPS_HEADER_BYTES);
    if (memcmp(data, "HAKO", 4) != 0)
        return refuse(error, 0, "no operations file: it does not begin with \"HAKO\"");
    if (data[4] != 1)
        return refuse(error, 4, "version %u; this program reads version 1", data[4]);
    if (data[5] > OPS_TRACE)
        return refuse(error, 5, "unknown form %u", data[5]);
    if (data[6] > OPS_POS)
        return refuse(error, 6, "unknown strategy %u", data[6]);
    if (data[7] > OPS_SMALL)
        return refuse(error, 7, "unknown geometry %u", data[7]);
    unsigned threads = (unsigned)get(data + 12, 2);
    if (threads == 0 || (data[5] == OPS_RECORDS && threads > OPS_RECORD_THREADS))
        return refuse(error, 12, "%u threads", threads);
    for (unsigned i = 25; i < OPS_HEADER_BYTES; i++)
        if (data[i] != 0)
            return refuse(error, i, "reserved byte is %u, not 0", data[i]);
    return true;
}

// What both forms check of an operation. `at` is its offset.
static bool check_op(const struct ops *program, const struct op *op, size_t at,
                     struct ops_error *error)
{
    if (op->thread >= program->header.threads)
        return refuse(error, at, "thread %u of %u", op->thread, program->header.threads);
    if (op->kind == OP_MISUSE && op->arg >= MISUSE_COUNT)
        return refuse(error, at, "unknown misuse %llu", (unsigned long long)op->arg);
    if (op->kind == OP_CORRUPT && op->arg >= STRUCTURE_COUNT)
        return refuse(error, at, "unknown structure %llu", (unsigned long long)op->arg);
    return true;
}

static void get_record(struct op *op, const uint8_t *record, unsigned size_form, unsigned arg_form)
{
    unsigned fields = ops_fields(op->kind);
    op->slot = fields & (OPS_DST | OPS_SLOT) ? (uint32_t)get(record + 2, 2) : 0;
    op->arg = fields & OPS_ARG ? ops_number_decode(arg_form, get(record + 5, 3), ARG_BITS) : 0;
    op->size = fields & OPS_SIZE ? ops_number_decode(size_form, get(record + 8, 4), SIZE_BITS) : 0;
}

static bool decode_record(const struct ops *program, struct op *op, const uint8_t *data, size_t at,
                          struct ops_error *error)
{
    const uint8_t *record = data + at;
    if (record[0] >= OP_KIND_COUNT)
        return refuse(error, at, "unknown operation %u", record[0]);
    *op = (struct op){ .kind = record[0], .thread = record[1] };
    get_record(op, record, record[4] & 15, record[4] >> 4);
    uint8_t again[OPS_RECORD_BYTES];
    if (!ops_put_record(op, again))
        return refuse(error, at, "a number without encoding");
    for (unsigned i = 0; i < OPS_RECORD_BYTES; i++)
        if (again[i] != record[i])
            return refuse(error, at + i, "byte %u of operation '%s' is %u, its encoding has %u", i,
                          ops_kind_name(op->kind), record[i], again[i]);
    return check_op(program, op, at, error);
}

// Reads one LEB128 number: false if it is cut short, longer than 64 bits or has needless bytes.
static bool get_number(const uint8_t *data, size_t bytes, size_t *at, uint64_t *out,
                       struct ops_error *error)
{
    size_t start = *at;
    uint64_t v = 0;
    for (unsigned shift = 0;; shift += 7) {
        if (*at >= bytes)
            return refuse(error, start, "the file ends inside of a number");
        uint8_t byte = data[(*at)++];
        if (shift == 63 && byte > 1)
            return refuse(error, start, "a number of more than 64 bits");
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            if (byte == 0 && shift != 0)
                return refuse(error, start, "a number with needless zero bytes");
            *out = v;
            return true;
        }
    }
}

static bool decode_trace_op(const struct ops *program, struct op *op, int previous,
                            const uint8_t *data, size_t bytes, size_t *at, struct ops_error *error)
{
    size_t start = *at;
    uint8_t first = data[(*at)++];
    bool same = first & SAME_THREAD;
    uint64_t thread = (uint64_t)(previous < 0 ? 0 : previous);
    uint64_t slot = 0;
    *op = (struct op){ .kind = first & (SAME_THREAD - 1) };
    if (op->kind >= OP_KIND_COUNT)
        return refuse(error, start, "unknown operation %u", op->kind);
    if (same && previous < 0)
        return refuse(error, start, "the first operation names no thread");
    unsigned fields = ops_fields(op->kind);
    if (!same && !get_number(data, bytes, at, &thread, error))
        return false;
    if (!same && (int64_t)thread == previous)
        return refuse(error, start, "an operation names the thread again");
    if (thread >= OPS_THREADS_MAX)
        return refuse(error, start, "thread %llu", (unsigned long long)thread);
    if (fields & (OPS_DST | OPS_SLOT) && !get_number(data, bytes, at, &slot, error))
        return false;
    if (slot >= UINT32_MAX)
        return refuse(error, start, "slot %llu", (unsigned long long)slot);
    if (fields & OPS_ARG && !get_number(data, bytes, at, &op->arg, error))
        return false;
    if (fields & OPS_SIZE && !get_number(data, bytes, at, &op->size, error))
        return false;
    op->thread = (uint16_t)thread;
    op->slot = (uint32_t)slot;
    return check_op(program, op, start, error);
}

static bool decode_ops(struct ops *program, const uint8_t *data, size_t bytes, size_t *at,
                       uint32_t count, struct ops_error *error)
{
    bool open = count == OPS_COUNT_OPEN && program->header.form == OPS_TRACE;
    int previous = -1;
    for (uint32_t i = 0; open ? *at < bytes : i < count; i++) {
        struct op op;
        if (*at >= bytes || (program->header.form == OPS_RECORDS && bytes - *at < OPS_RECORD_BYTES))
            return refuse(error, bytes, "the file ends at operation %u of %u", i, count);
        if (program->header.form == OPS_TRACE) {
            if (!decode_trace_op(program, &op, previous, data, bytes, at, error))
                return false;
        } else {
            if (!decode_record(program, &op, data, *at, error))
                return false;
            *at += OPS_RECORD_BYTES;
        }
        previous = op.thread;
        if (!ops_push(program, op))
            return refuse(error, *at, "out of memory");
    }
    return true;
}

static bool decode_decisions(struct ops *program, const uint8_t *data, size_t bytes, size_t *at,
                             uint32_t count, struct ops_error *error)
{
    for (uint32_t i = 0; i < count; i++, *at += OPS_DECISION_BYTES) {
        if (bytes - *at < OPS_DECISION_BYTES)
            return refuse(error, bytes, "the file ends at decision %u of %u", i, count);
        const uint8_t *d = data + *at;
        struct decision decision = { (uint16_t)get(d, 2), d[2], d[3], (uint32_t)get(d + 4, 4) };
        if (decision.thread >= program->header.threads)
            return refuse(error, *at, "thread %u of %u", decision.thread, program->header.threads);
        if (decision.kind >= DECIDE_COUNT)
            return refuse(error, *at + 2, "unknown decision %u", decision.kind);
        if (!ops_push_decision(program, decision))
            return refuse(error, *at, "out of memory");
    }
    return true;
}

bool ops_decode(struct ops *program, const uint8_t *data, size_t bytes, struct ops_error *error)
{
    ops_clear(program);
    if (!check_header(data, bytes, error))
        return false;
    get_header(&program->header, data);
    size_t at = OPS_HEADER_BYTES;
    bool ok = decode_ops(program, data, bytes, &at, (uint32_t)get(data + 16, 4), error) &&
              decode_decisions(program, data, bytes, &at, (uint32_t)get(data + 20, 4), error);
    if (ok && at != bytes)
        ok = refuse(error, at, "%zu bytes behind the end", bytes - at);
    if (!ok)
        ops_clear(program);
    return ok;
}

// ---- lenient decoding ----

bool ops_within(const struct ops_limits *limits, uint64_t count, uint64_t size)
{
    uint64_t product;
    if (__builtin_mul_overflow(count ? count : 1, size, &product))
        return false;
    return product <= limits->size_max;
}

static bool is_hopeless(const struct ops_limits *limits, uint64_t count, uint64_t size)
{
    uint64_t product;
    return __builtin_mul_overflow(count, size, &product) || product >= limits->fail_min;
}

static void fold(struct op *op, const struct ops_limits *limits)
{
    bool counted = op->kind == OP_CALLOC || op->kind == OP_REALLOCARRAY;
    switch (op->kind) {
    case OP_TICK:
        op->size %= (uint64_t)1 << 20;
        return;
    case OP_FAIL_OS:
        op->arg %= 256;
        op->size %= 256;
        return;
    case OP_MISUSE:
        op->arg %= MISUSE_COUNT;
        return;
    case OP_CORRUPT:
        op->arg %= STRUCTURE_COUNT;
        return;
    case OP_TOUCH:
    case OP_TRIM:
    case OP_FREEZE:
        return;
    default:
        break;
    }
    if (!(ops_fields(op->kind) & OPS_SIZE) || ops_within(limits, counted ? op->arg : 1, op->size) ||
        is_hopeless(limits, counted ? op->arg : 1, op->size))
        return;
    if (counted)
        op->arg = 1 + op->arg % 64;
    op->size %= limits->size_max / (counted ? op->arg : 1) + 1;
}

bool ops_decode_lenient(struct ops *program, const uint8_t *data, size_t bytes,
                        const struct ops_limits *limits)
{
    ops_clear(program);
    if (bytes < OPS_HEADER_BYTES || memcmp(data, "HAKO", 4) != 0 || data[4] != 1 ||
        data[5] != OPS_RECORDS)
        return false;
    get_header(&program->header, data);
    struct ops_header *header = &program->header;
    header->strategy %= OPS_POS + 1;
    header->geometry %= OPS_SMALL + 1;
    header->threads = (uint16_t)(header->threads ? (header->threads - 1) % limits->threads + 1 : 1);
    size_t there = (bytes - OPS_HEADER_BYTES) / OPS_RECORD_BYTES;
    size_t count = (size_t)get(data + 16, 4);
    count = count < there ? count : there;
    size_t at = OPS_HEADER_BYTES;
    for (size_t i = 0; i < count; i++, at += OPS_RECORD_BYTES) {
        const uint8_t *record = data + at;
        struct op op = { .kind = record[0] % OP_KIND_COUNT, .thread = record[1] % header->threads };
        get_record(&op, record, (record[4] & 15) % NUMBER_COUNT, (record[4] >> 4) % NUMBER_COUNT);
        op.slot %= limits->slots;
        fold(&op, limits);
        if (program->count < limits->ops_max && !ops_push(program, op))
            return false;
    }
    size_t decisions = (size_t)get(data + 20, 4);
    for (size_t i = 0; i < decisions && bytes - at >= OPS_DECISION_BYTES; i++) {
        const uint8_t *d = data + at;
        struct decision decision = { (uint16_t)(get(d, 2) % header->threads), d[2] % DECIDE_COUNT,
                                     d[3], (uint32_t)get(d + 4, 4) };
        if (!ops_push_decision(program, decision))
            return false;
        at += OPS_DECISION_BYTES;
    }
    return true;
}

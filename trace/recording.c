// recording.c: reads recordings (recording.h) strictly and turns them into operations.
//
// Each record is checked by itself: a known kind, whole numbers without needless bytes, sizes that
// an allocator can give, alignments that are powers of two, dense thread numbers, no address 0.
// What remains is history, not form, and is counted instead of refused: a program frees what it
// got before it was recorded (or from its parent), or frees behind the recorder's back.
//
// The reader stops at the first error; what it has read so far stands in the program, so that the
// good part of a damaged file can be used by whoever asks for it.
#define _GNU_SOURCE
#include "recording.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../fuzz/ops.h"
#include "slot_map.h"

struct reader {
    struct ops *program;
    struct recording_summary *summary;
    struct slot_map map;
    const uint8_t *data;
    size_t end; // of the records
    size_t at;
    size_t start; // of the record that is being read
    uint64_t last_address;
    uint64_t waited_us; // not yet a whole millisecond
    uint16_t thread;
    uint16_t threads; // seen
    struct ops_error *error;
};

static bool refuse(struct ops_error *error, size_t where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static bool refuse(struct ops_error *error, size_t where, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    error->text = false;
    error->where = where;
    vsnprintf(error->reason, sizeof error->reason, format, args);
    va_end(args);
    return false;
}

// ---- header ----

static bool read_header(struct recording_header *header, const uint8_t *data, size_t bytes,
                        struct ops_error *error)
{
    if (bytes < sizeof *header)
        return refuse(error, bytes, "the file ends inside of the header of %zu bytes",
                      sizeof *header);
    memcpy(header, data, sizeof *header);
    if (memcmp(header->magic, RECORDING_MAGIC, sizeof header->magic) != 0)
        return refuse(error, 0, "no recording: it does not begin with \"%s\"", RECORDING_MAGIC);
    if (header->version != RECORDING_VERSION)
        return refuse(error, offsetof(struct recording_header, version),
                      "version %u; this program reads version %u", header->version,
                      RECORDING_VERSION);
    if (header->flags & ~RECORDING_FLAGS_ALL)
        return refuse(error, offsetof(struct recording_header, flags), "unknown flags 0x%x",
                      header->flags);
    if (header->reserved_word != 0)
        return refuse(error, offsetof(struct recording_header, reserved_word),
                      "reserved word is not 0");
    if (header->program[sizeof header->program - 1] != 0)
        return refuse(error, offsetof(struct recording_header, program),
                      "the program's name does not end");
    for (size_t i = 0; i < sizeof header->reserved; i++)
        if (header->reserved[i] != 0)
            return refuse(error, offsetof(struct recording_header, reserved) + i,
                          "reserved byte is %u, not 0", header->reserved[i]);
    if (header->flags & RECORDING_CLOSED && header->data_bytes < bytes - sizeof *header)
        return refuse(error, sizeof *header + header->data_bytes,
                      "%zu bytes behind the end of a closed recording",
                      bytes - sizeof *header - (size_t)header->data_bytes);
    return true;
}

// ---- numbers ----

static bool read_number(struct reader *r, uint64_t *out)
{
    uint64_t value = 0;
    size_t start = r->at;
    for (unsigned shift = 0;; shift += 7) {
        if (r->at >= r->end)
            return refuse(r->error, r->start, "the file ends inside of this record");
        uint8_t byte = r->data[r->at++];
        if (shift == 63 && byte > 1)
            return refuse(r->error, start, "a number of more than 64 bits");
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte & 0x80)
            continue;
        if (byte == 0 && shift != 0)
            return refuse(r->error, start, "a number with needless zero bytes");
        *out = value;
        return true;
    }
}

static bool read_size(struct reader *r, uint64_t *size)
{
    size_t start = r->at;
    if (!read_number(r, size))
        return false;
    if (*size > RECORDING_SIZE_MAX)
        return refuse(r->error, start, "a block of %llu bytes or more",
                      (unsigned long long)RECORDING_SIZE_MAX);
    return true;
}

static bool read_address(struct reader *r, uint64_t *address)
{
    size_t start = r->at;
    uint64_t difference;
    if (!read_number(r, &difference))
        return false;
    r->last_address += unzigzag(difference);
    if (r->last_address == 0)
        return refuse(r->error, start, "address 0");
    *address = r->last_address;
    return true;
}

static bool read_arg(struct reader *r, enum record_kind kind, uint64_t size, uint64_t *arg)
{
    size_t start = r->at;
    uint64_t total;
    if (!read_number(r, arg))
        return false;
    if (kind == RECORD_CALLOC) {
        if (__builtin_mul_overflow(*arg, size, &total) || total > RECORDING_SIZE_MAX)
            return refuse(r->error, start, "a block of %llu bytes or more",
                          (unsigned long long)RECORDING_SIZE_MAX);
    } else if (*arg == 0 || (*arg & (*arg - 1)) != 0 ||
               (kind == RECORD_POSIX_MEMALIGN && *arg < sizeof(void *))) {
        return refuse(r->error, start, "alignment %llu", (unsigned long long)*arg);
    }
    return true;
}

// ---- records ----

static bool out_of_memory(struct reader *r)
{
    return refuse(r->error, r->start, "out of memory");
}

static bool push(struct reader *r, enum op_kind kind, uint32_t slot, uint64_t size, uint64_t arg)
{
    struct op op = {
        .kind = (uint8_t)kind, .thread = r->thread, .slot = slot, .size = size, .arg = arg
    };
    return ops_push(r->program, op) || out_of_memory(r);
}

static bool forget(struct reader *r, struct slot_entry *entry)
{
    uint32_t slot = entry->slot;
    if (!slot_map_remove(&r->map, entry, false))
        return out_of_memory(r);
    return push(r, OP_FREE, slot, 0, 0);
}

// A block begins at `address`: whatever lived there must have been freed unseen.
static bool forget_missed(struct reader *r, uint64_t address)
{
    struct slot_entry *entry = slot_map_find(&r->map, address);
    if (!entry)
        return true;
    r->summary->frees_missed++;
    return forget(r, entry);
}

static bool read_allocation(struct reader *r, enum record_kind kind, enum op_kind op)
{
    uint64_t size, address, arg = 0;
    uint32_t slot;
    if (!read_size(r, &size))
        return false;
    if (record_has_arg(kind) && !read_arg(r, kind, size, &arg))
        return false;
    if (!read_address(r, &address) || !forget_missed(r, address))
        return false;
    if (!slot_map_add(&r->map, address, &slot))
        return out_of_memory(r);
    return push(r, op, slot, size, arg);
}

static bool read_realloc(struct reader *r)
{
    uint64_t size, old, address;
    uint32_t slot;
    if (!read_size(r, &size) || !read_address(r, &old) || !read_address(r, &address))
        return false;
    struct slot_entry *entry = slot_map_find(&r->map, old);
    if (!entry) {
        r->summary->frees_unknown++;
        if (!forget_missed(r, address))
            return false;
        if (!slot_map_add(&r->map, address, &slot))
            return out_of_memory(r);
        return push(r, OP_MALLOC, slot, size, 0);
    }
    slot = entry->slot;
    if (!slot_map_remove(&r->map, entry, true))
        return out_of_memory(r);
    if (!forget_missed(r, address))
        return false;
    if (!slot_map_put(&r->map, address, slot))
        return out_of_memory(r);
    // In the language a realloc to 0 frees; here the allocator gave a block for it.
    return push(r, OP_REALLOC, slot, size ? size : 1, 0);
}

static bool read_touch(struct reader *r, enum record_kind kind)
{
    uint64_t address;
    if (!read_address(r, &address))
        return false;
    struct slot_entry *entry = slot_map_find(&r->map, address);
    if (entry)
        return kind == RECORD_FREE ? forget(r, entry) : push(r, OP_USABLE_SIZE, entry->slot, 0, 0);
    if (kind == RECORD_FREE)
        r->summary->frees_unknown++;
    return true;
}

static bool read_time(struct reader *r)
{
    uint64_t step_us;
    size_t start = r->at;
    if (!read_number(r, &step_us))
        return false;
    if (step_us > RECORDING_SIZE_MAX - r->waited_us)
        return refuse(r->error, start, "a pause of more than 2^63 microseconds");
    r->waited_us += step_us;
    uint64_t whole_ms = r->waited_us / 1000;
    r->waited_us %= 1000;
    return whole_ms == 0 || push(r, OP_TICK, 0, whole_ms, 0);
}

static bool read_thread(struct reader *r)
{
    uint64_t number;
    size_t start = r->at;
    if (!read_number(r, &number))
        return false;
    if (number > r->threads || number >= RECORDING_THREADS_MAX)
        return refuse(r->error, start, "thread %llu after %u threads", (unsigned long long)number,
                      r->threads);
    if (number == r->threads)
        r->threads++;
    r->thread = (uint16_t)number;
    return true;
}

static bool read_record(struct reader *r)
{
    static const enum op_kind allocations[RECORD_KINDS] = {
        [RECORD_MALLOC] = OP_MALLOC,
        [RECORD_CALLOC] = OP_CALLOC,
        [RECORD_ALIGNED_ALLOC] = OP_ALIGNED_ALLOC,
        [RECORD_POSIX_MEMALIGN] = OP_POSIX_MEMALIGN,
        [RECORD_MEMALIGN] = OP_MEMALIGN,
        [RECORD_VALLOC] = OP_VALLOC,
        [RECORD_PVALLOC] = OP_PVALLOC,
    };
    r->start = r->at;
    enum record_kind kind = r->data[r->at++];
    switch (kind) {
    case RECORD_MALLOC:
    case RECORD_CALLOC:
    case RECORD_ALIGNED_ALLOC:
    case RECORD_POSIX_MEMALIGN:
    case RECORD_MEMALIGN:
    case RECORD_VALLOC:
    case RECORD_PVALLOC:
        return read_allocation(r, kind, allocations[kind]);
    case RECORD_REALLOC:
        return read_realloc(r);
    case RECORD_FREE:
    case RECORD_USABLE_SIZE:
        return read_touch(r, kind);
    case RECORD_TRIM:
        return push(r, OP_TRIM, 0, 0, 0);
    case RECORD_EXIT:
        return push(r, OP_EXIT, 0, 0, 0);
    case RECORD_TIME:
        return read_time(r);
    case RECORD_THREAD:
        return read_thread(r);
    case RECORD_NONE:
    case RECORD_KINDS:
        break;
    }
    return refuse(r->error, r->start, "unknown kind of record %u", (unsigned)kind);
}

bool recording_decode(struct ops *program, struct recording_summary *summary, const uint8_t *data,
                      size_t bytes, struct ops_error *error)
{
    *summary = (struct recording_summary){ 0 };
    ops_clear(program);
    if (!read_header(&summary->header, data, bytes, error))
        return false;
    uint64_t promised = summary->header.data_bytes;
    size_t there = bytes - sizeof summary->header;
    struct reader reader = {
        .program = program,
        .summary = summary,
        .data = data,
        .at = sizeof summary->header,
        .end = sizeof summary->header + (promised < there ? (size_t)promised : there),
        .threads = 1,
        .error = error,
    };
    bool ok = true;
    while (ok && reader.at < reader.end) {
        ok = read_record(&reader);
        summary->records += ok;
    }
    if (ok && promised > there)
        ok = refuse(error, bytes, "the file ends here, %llu bytes of records are missing",
                    (unsigned long long)(promised - there));
    slot_map_free(&reader.map);
    return ok;
}

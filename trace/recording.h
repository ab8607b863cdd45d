// recording.h: the file that the recorder leaves of one process (.hkr), and its reader.
//
//   offset 0    struct recording_header, 128 bytes, little-endian
//   offset 128  records, header.data_bytes of them, no padding between
//
// A record is one byte (enum record_kind) and then its numbers, each an unsigned LEB128 varint,
// the shortest one possible:
//
//   MALLOC VALLOC PVALLOC                        size address
//   CALLOC                                       size count address
//   ALIGNED_ALLOC POSIX_MEMALIGN MEMALIGN        size alignment address
//   REALLOC                                      size old-address new-address
//   FREE USABLE_SIZE                             address
//   THREAD                                       number: who makes the records that follow
//   TIME                                         microseconds since the last TIME
//   EXIT TRIM                                    nothing; EXIT ends the current thread, whose
//                                                number may then be another thread's
//
// An address is stored as the zigzag difference from the address stored before it (0 at first).
// Thread numbers are dense: at most one above the highest so far. The thread is 0 until a THREAD.
//
// A recording is raw material: the reader turns it into the trace form of fuzz/ops.h (.hkt), which
// names slots instead of addresses and is what all other tools read and write.
//
// data_bytes is right at any moment, for records are written before it is. A recorder that could
// not close its file (exec, _exit, a crash) leaves RECORDING_CLOSED clear and unused space behind
// the records; a closed file ends with its last record.
#ifndef TRACE_RECORDING_H
#define TRACE_RECORDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORDING_MAGIC "HAKMEMRC"
#define RECORDING_VERSION 1
#define VARINT_BYTES_MAX 10
// The longest record: a kind and three numbers.
#define RECORD_BYTES_MAX (1 + 3 * VARINT_BYTES_MAX)
#define RECORDING_THREADS_MAX 65535u
#define RECORDING_SIZE_MAX ((uint64_t)PTRDIFF_MAX - 4096) // no allocator can give more

enum recording_flag {
    RECORDING_CLOSED = 1, // the process ended in order
    RECORDING_FORKED = 2, // of a child of fork: it frees blocks that its parent allocated
    RECORDING_FLAGS_ALL = 3,
};

// Numbers in files; only added to at the end.
enum record_kind {
    RECORD_NONE = 0, // never written: what unused space reads as
    RECORD_MALLOC,
    RECORD_CALLOC,
    RECORD_REALLOC,
    RECORD_FREE,
    RECORD_ALIGNED_ALLOC,
    RECORD_POSIX_MEMALIGN,
    RECORD_MEMALIGN,
    RECORD_VALLOC,
    RECORD_PVALLOC,
    RECORD_USABLE_SIZE,
    RECORD_TRIM,
    RECORD_EXIT,
    RECORD_TIME,
    RECORD_THREAD,
    RECORD_KINDS,
};

struct recording_header {
    char magic[8];
    uint16_t version;
    uint16_t flags;
    uint32_t pid;
    uint32_t parent_pid;
    uint32_t reserved_word; // 0
    uint64_t start_us;      // since the epoch
    uint64_t data_bytes;    // of records
    char program[32];       // its name, padded with zeroes; the last byte is 0
    uint8_t reserved[56];   // 0
};

_Static_assert(sizeof(struct recording_header) == 128, "the header's size is part of the form");
_Static_assert(offsetof(struct recording_header, data_bytes) % 8 == 0, "stored in one piece");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "structures are written as they are");

// What a reader learns beside the operations.
struct recording_summary {
    struct recording_header header;
    uint64_t records;
    uint64_t frees_unknown; // frees and reallocs of addresses that nobody here allocated
    uint64_t frees_missed;  // addresses handed out again though no free of them was recorded
};

struct ops;
struct ops_error;

// Turns the recording of `bytes` bytes at `data` into operations, appended to the empty `program`.
// False: `error` has offset and reason, and `program` holds what came before. A free of an unknown
// address is left out, a realloc of one becomes a malloc, a missed free is put in; the summary
// counts them. TIME becomes ticks of whole milliseconds. Never exits; takes memory in proportion
// to `bytes`.
bool recording_decode(struct ops *program, struct recording_summary *summary, const uint8_t *data,
                      size_t bytes, struct ops_error *error);

// Whether records of `kind` carry `arg`.
static inline bool record_has_arg(enum record_kind kind)
{
    return kind == RECORD_CALLOC || (kind >= RECORD_ALIGNED_ALLOC && kind <= RECORD_MEMALIGN);
}

// Writes `value` at `out`, which has room for VARINT_BYTES_MAX; returns the end.
static inline uint8_t *varint_put(uint8_t *out, uint64_t value)
{
    while (value >= 0x80) {
        *out++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *out++ = (uint8_t)value;
    return out;
}

static inline uint64_t zigzag(uint64_t difference)
{
    return (difference << 1) ^ (0 - (difference >> 63));
}

static inline uint64_t unzigzag(uint64_t coded)
{
    return (coded >> 1) ^ (0 - (coded & 1));
}

#endif

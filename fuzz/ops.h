// ops.h: the operation language that all harnesses, traces and benchmarks share.
//
// A program is a header, a list of operations in one total order, and a sparse list of schedule
// decisions. Threads, slots and sizes are numbers; a slot holds at most one block; slots are shared
// by all threads, so a block is freed by another thread just by naming the slot there.
//
// Three forms, the same content:
//   records  fixed 12-byte operations: fuzz inputs. Strict decoding refuses what is malformed;
//            lenient decoding makes something valid of any bytes behind the header.
//   trace    variable-length numbers: recordings of real programs (32-bit slots, 64-bit sizes).
//   text     one operation per line, for people: "t0 s3 = malloc 128", "t1 free s3".
//
// Numbers of kinds, strategies and decisions never change and are only added to at the end, and
// reserved bytes are zero, so that old files stay valid. Nothing here uses the allocator tested.
#ifndef FUZZ_OPS_H
#define FUZZ_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

// What an operation carries. DST: the slot receives a block ("s3 = ..."). SLOT: the slot is used.
#define OPS_DST 1u
#define OPS_SLOT 2u
#define OPS_SIZE 4u
#define OPS_ARG 8u    // a number before the size: a count, an alignment, ...
#define OPS_NAMED 16u // `arg` is one of a list of names (a misuse, a structure)

// X(identifier, name in text, fields). The position is the number in files.
//   realloc          an empty slot counts as NULL; size 0 frees
//   free_sized       with the size (and alignment) that the slot's block was asked for
//   exit, start      the thread ends / runs again (any operation of an ended thread starts it)
//   tick             the clock moves on by `size` milliseconds
//   fail_os          of the calls to the system from now on, the `arg`-th and size - 1 more fail
//   touch            checks the block's contents, then fills it anew with pattern `size`
//   fork             the child goes on alone; what the parent does is the harness's choice
//   misuse           a mistake of the caller, `arg` says which; see enum misuse
//   corrupt          flips bit `size` of the structure `arg` that serves the slot's block
//   barrier          waits until all running threads are at theirs
//   freeze           the thread stops for ever at its `size`-th step from here
#define OPS_KINDS(X)                                                  \
    X(MALLOC, "malloc", OPS_DST | OPS_SIZE)                           \
    X(CALLOC, "calloc", OPS_DST | OPS_ARG | OPS_SIZE)                 \
    X(REALLOC, "realloc", OPS_SLOT | OPS_SIZE)                        \
    X(REALLOCARRAY, "reallocarray", OPS_SLOT | OPS_ARG | OPS_SIZE)    \
    X(ALIGNED_ALLOC, "aligned_alloc", OPS_DST | OPS_ARG | OPS_SIZE)   \
    X(POSIX_MEMALIGN, "posix_memalign", OPS_DST | OPS_ARG | OPS_SIZE) \
    X(MEMALIGN, "memalign", OPS_DST | OPS_ARG | OPS_SIZE)             \
    X(VALLOC, "valloc", OPS_DST | OPS_SIZE)                           \
    X(PVALLOC, "pvalloc", OPS_DST | OPS_SIZE)                         \
    X(FREE, "free", OPS_SLOT)                                         \
    X(FREE_SIZED, "free_sized", OPS_SLOT)                             \
    X(FREE_ALIGNED_SIZED, "free_aligned_sized", OPS_SLOT)             \
    X(USABLE_SIZE, "usable_size", OPS_SLOT)                           \
    X(TOUCH, "touch", OPS_SLOT | OPS_SIZE)                            \
    X(TRIM, "trim", OPS_SIZE)                                         \
    X(FLUSH, "flush", 0)                                              \
    X(EXIT, "exit", 0)                                                \
    X(START, "start", 0)                                              \
    X(TICK, "tick", OPS_SIZE)                                         \
    X(FAIL_OS, "fail_os", OPS_ARG | OPS_SIZE)                         \
    X(AUDIT, "audit", 0)                                              \
    X(STATS, "stats", 0)                                              \
    X(FORK, "fork", 0)                                                \
    X(BARRIER, "barrier", 0)                                          \
    X(FREEZE, "freeze", OPS_SIZE)                                     \
    X(MISUSE, "misuse", OPS_NAMED | OPS_ARG | OPS_SLOT | OPS_SIZE)    \
    X(CORRUPT, "corrupt", OPS_NAMED | OPS_ARG | OPS_SLOT | OPS_SIZE)  \
    X(NEW, "new", OPS_DST | OPS_SIZE)                                 \
    X(NEW_ARRAY, "new_array", OPS_DST | OPS_SIZE)                     \
    X(NEW_NOTHROW, "new_nothrow", OPS_DST | OPS_SIZE)                 \
    X(NEW_ALIGNED, "new_aligned", OPS_DST | OPS_ARG | OPS_SIZE)       \
    X(DELETE, "delete", OPS_SLOT)                                     \
    X(DELETE_ARRAY, "delete_array", OPS_SLOT)                         \
    X(DELETE_SIZED, "delete_sized", OPS_SLOT)                         \
    X(DELETE_ALIGNED, "delete_aligned", OPS_SLOT)

// X(identifier, name). `size` is the offset in bytes where one is needed.
#define OPS_MISUSES(X)                      \
    X(DOUBLE_FREE, "double_free")           \
    X(INTERIOR_FREE, "interior_free")       \
    X(FOREIGN_FREE, "foreign_free")         \
    X(NEVER_ALLOCATED, "never_allocated")   \
    X(REALLOC_FREED, "realloc_freed")       \
    X(REALLOC_INTERIOR, "realloc_interior") \
    X(REALLOC_FOREIGN, "realloc_foreign")   \
    X(SIZE_INTERIOR, "size_interior")       \
    X(SIZE_FOREIGN, "size_foreign")         \
    X(SIZED_MISMATCH, "sized_mismatch")

// What `corrupt` writes to. BLOCK_END: the user's own overflow, `size` bits past the block's end.
#define OPS_STRUCTURES(X)             \
    X(TAG, "tag")                     \
    X(RECORD, "record")               \
    X(FREE_BITMAP, "free_bitmap")     \
    X(REMOTE_BITMAP, "remote_bitmap") \
    X(UNIT_MASKS, "unit_masks")       \
    X(MAGAZINE, "magazine")           \
    X(BLOCK_END, "block_end")         \
    X(HEAP, "heap")

// What a schedule decision decides, at a step of a thread (its own count of scheduling points).
// The values belong to fuzz/sched; this file only stores them. A step not listed takes the default.
#define OPS_DECISIONS(X)                                         \
    X(RUN, "run")   /* the thread that goes on */                \
    X(READ, "read") /* the store that a load sees, 0 = newest */ \
    X(CAS, "cas")   /* 1: a weak compare-and-swap fails */       \
    X(WAKE, "wake") /* the waiter that gets the lock */          \
    X(OS, "os")     /* 1: the call to the system fails */

#define OPS_ENUM(id, name, ...) OP_##id,
enum op_kind { OPS_KINDS(OPS_ENUM) OP_KIND_COUNT };
#undef OPS_ENUM
#define OPS_ENUM(id, name) MISUSE_##id,
enum op_misuse { OPS_MISUSES(OPS_ENUM) MISUSE_COUNT };
#undef OPS_ENUM
#define OPS_ENUM(id, name) STRUCTURE_##id,
enum op_structure { OPS_STRUCTURES(OPS_ENUM) STRUCTURE_COUNT };
#undef OPS_ENUM
#define OPS_ENUM(id, name) DECIDE_##id,
enum op_decision { OPS_DECISIONS(OPS_ENUM) DECIDE_COUNT };
#undef OPS_ENUM

#define OPS_HEADER_BYTES 32u
#define OPS_RECORD_BYTES 12u
#define OPS_DECISION_BYTES 8u
#define OPS_TRACE_OP_MAX 32u    // bytes of the longest operation of a trace
#define OPS_RECORD_SLOTS 65536u // slots that a record can name
#define OPS_RECORD_THREADS 256u // threads that a record can name
#define OPS_THREADS_MAX 65535u
#define OPS_COUNT_OPEN UINT32_MAX // op_count of a trace whose writer was cut short: to the end

enum ops_form { OPS_RECORDS = 0, OPS_TRACE = 1 };
enum ops_strategy { OPS_DECIDED = 0, OPS_RANDOM = 1, OPS_PCT = 2, OPS_POS = 3 };
enum ops_geometry { OPS_ANY = 0, OPS_DEFAULT = 1, OPS_SMALL = 2 };

// The header of a file, little-endian:
//   0 "HAKO" | 4 version 1 | 5 form | 6 strategy | 7 geometry | 8 seed (4) | 12 threads (2)
//   14 arena MiB (2), 0 = as the build has it | 16 operations (4) | 20 decisions (4)
//   24 strategy depth (1), PCT's d | 25 reserved (7)
// Then the operations, then the decisions (8 bytes each: thread 2, kind 1, choice 1, step 4).
struct ops_header {
    uint8_t form; // of the file it came from
    uint8_t strategy;
    uint8_t geometry;
    uint8_t depth;
    uint32_t seed;
    uint16_t threads; // 1 to OPS_THREADS_MAX
    uint16_t arena_mib;
};

struct op {
    uint8_t kind;
    uint16_t thread;
    uint32_t slot;
    uint64_t size;
    uint64_t arg;
};

struct decision {
    uint16_t thread;
    uint8_t kind;
    uint8_t choice;
    uint32_t step;
};

// Owns its arrays (libc malloc). Zero-initialise, then use; the arrays are kept between decodes.
struct ops {
    struct ops_header header;
    struct op *list;
    size_t count;
    size_t capacity;
    struct decision *decisions;
    size_t decision_count;
    size_t decision_capacity;
    uint32_t slots; // the highest slot that is named, + 1
};

struct ops_error {
    bool text; // `where` is a line (from 1), else an offset in bytes
    size_t where;
    char reason[120];
};

// Bounds that lenient decoding folds numbers into; whatever it returns is within them. Sizes that
// no allocator can serve (above fail_min) are kept: they test failure.
struct ops_limits {
    uint32_t ops_max;  // what comes behind them is dropped
    uint32_t slots;    // 1 to OPS_RECORD_SLOTS
    uint16_t threads;  // 1 to OPS_RECORD_THREADS
    uint64_t size_max; // for sizes and for count * size
    uint64_t fail_min;
};

void ops_free(struct ops *program);
void ops_clear(struct ops *program);
// Appends; keeps `slots` and `header.threads` up to date. False if out of memory.
bool ops_push(struct ops *program, struct op op);
bool ops_push_decision(struct ops *program, struct decision decision);
// Empties a program and gives its arrays room for so many: no input then differs from the same one
// later. False: no memory.
bool ops_reserve(struct ops *program, size_t ops, size_t decisions);

// Decodes a file of records or a trace. False: `error` says where and why; nothing is guessed.
bool ops_decode(struct ops *program, const uint8_t *data, size_t bytes, struct ops_error *error);
// For fuzzing: false only if the header is not one of records, or memory ran out. Equals ops_decode
// for what that accepts, as far as the limits allow.
bool ops_decode_lenient(struct ops *program, const uint8_t *data, size_t bytes,
                        const struct ops_limits *limits);
// Whether `size` bytes (count times, 0 counts as 1) stay within the limits' size_max.
bool ops_within(const struct ops_limits *limits, uint64_t count, uint64_t size);

// Encodes into `out`; returns the bytes needed, which may exceed `capacity` (nothing is written
// beyond it), or 0 with `error` if the form cannot hold an operation (`where` is its index).
size_t ops_encode(const struct ops *program, enum ops_form form, uint8_t *out, size_t capacity,
                  struct ops_error *error);
// The parts of a trace, for writers that may not allocate. `previous` is the thread of the one
// before it, or -1. Both return the bytes written.
size_t ops_put_header(const struct ops_header *header, uint32_t op_count, uint32_t decision_count,
                      uint8_t out[OPS_HEADER_BYTES]);
size_t ops_put_trace_op(const struct op *op, int previous, uint8_t out[OPS_TRACE_OP_MAX]);

// The text form. ops_parse accepts what ops_print writes; '#' starts a comment.
bool ops_parse(struct ops *program, const char *text, size_t bytes, struct ops_error *error);
void ops_print(const struct ops *program, FILE *out);
// One operation without newline; returns the length as snprintf does.
int ops_format(const struct op *op, char *out, size_t capacity);

// Reads a file in any of the three forms.
bool ops_load(struct ops *program, const char *path, struct ops_error *error);
// "path:12: reason" for text, "path: offset 12: reason" for the binary forms; as snprintf.
int ops_format_error(const struct ops_error *error, const char *path, char *out, size_t capacity);

unsigned ops_fields(unsigned kind); // OPS_DST ...
const char *ops_kind_name(unsigned kind);

#endif

// fault.h: mistakes of the caller, and corruption of what the caller must not touch.
//
// One list, one function: a line on standard error, written without allocating and without locks,
// then abort. Nothing continues after a fault. Safe in a signal handler and in any thread.
#ifndef HAK_FAULT_H
#define HAK_FAULT_H

#include "config.h"

enum fault {
    FAULT_DOUBLE_FREE,     // the block is free already
    FAULT_INTERIOR_FREE,   // inside of a block, or misaligned: not its start
    FAULT_NEVER_ALLOCATED, // in the arena, at a place where no block was ever handed out
    FAULT_INVALID_REALLOC, // realloc of something that is no live block's start
    FAULT_FOREIGN_REALLOC, // realloc of a pointer that is not ours
    FAULT_INVALID_SIZE,    // usable size of something that is no block's start
    FAULT_FOREIGN_SIZE,    // usable size of a pointer that is not ours
    FAULT_SIZE_MISMATCH,   // sized free with a size that the block cannot have
    FAULT_CORRUPT_RECORD,  // the allocator's own records contradict each other
    // Hardened flavour only.
    FAULT_FOREIGN_FREE,     // free of a pointer that is not ours
    FAULT_WRITE_AFTER_FREE, // a free block was written to
    FAULT_OVERFLOW,         // the canary behind a block was written to
    FAULT_NO_ENTROPY,       // the system has no random bytes
    // Sampled blocks only.
    FAULT_USE_AFTER_FREE, // a block was read or written after it was freed
    FAULT_OUT_OF_BOUNDS,  // an address before or behind a block was read or written
    FAULT_UNDERFLOW,      // bytes before a block were written to
    FAULT_COUNT
};

// `tag` is the byte of the tag table for p (a class, TAG_LARGE, TAG_HUGE or TAG_NONE).
// Line: "hakmem: double free of 0x7f0123456780 (class 5, 80 bytes)".
_Noreturn COLD void hak_fault(enum fault what, const void *p, unsigned tag);

// Whether `condition`, which tells a mistake or damage, is to be looked at and holds.
#define mistake(condition) (!WITHOUT_CHECKS && unlikely(condition))

// As hak_fault; eight bytes of the block, at `offset`, are `is` and should be `should`: the line
// says those from the first to the last that differ. Line:
// "hakmem: write after free of 0x7f0123456780 (class 5, 80 bytes) at byte 9: 00, now 41".
_Noreturn COLD void hak_fault_bytes(enum fault what, const void *p, unsigned tag, size_t offset,
                                    uint64_t should, uint64_t is);

// As hak_fault, about what lies `offset` bytes from the begin of a sampled block of `bytes` bytes;
// a line for each frame of its stacks follows. Line:
// "hakmem: use after free of 0x7f0123456f90 (sampled, 100 bytes) at byte 5".
struct stacks;
_Noreturn COLD void hak_fault_sampled(enum fault what, const void *p, size_t bytes,
                                      ptrdiff_t offset, const struct stacks *stacks);

#endif

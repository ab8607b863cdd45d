// fault.h: mistakes of the caller, and corruption of what the caller must not touch.
//
// One list, one function: a line on standard error, written without allocating and without locks,
// then abort. Nothing continues after a fault. Safe in a signal handler and in any thread.
#ifndef HAK_FAULT_H
#define HAK_FAULT_H

#include "base.h"

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
    FAULT_COUNT
};

// `tag` is the byte of the tag table for p (a class, TAG_LARGE, TAG_HUGE or TAG_NONE).
// Line: "hakmem: double free of 0x7f0123456780 (class 5, 80 bytes)".
_Noreturn COLD void hak_fault(enum fault what, const void *p, unsigned tag);

// As hak_fault; eight bytes of the block, at `offset`, are `is` and should be `should`: the line
// says those from the first to the last that differ. Line:
// "hakmem: write after free of 0x7f0123456780 (class 5, 80 bytes) at byte 9: 00, now 41".
_Noreturn COLD void hak_fault_bytes(enum fault what, const void *p, unsigned tag, size_t offset,
                                    uint64_t should, uint64_t is);

#endif

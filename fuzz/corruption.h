// corruption.h: every field of the allocator's structures by name, found from a block, and one bit
// of it flipped; what comes of that is for the caller to judge (fuzz_corrupt.c, corrupt_table.c).
//
// One list for the operation `corrupt`, the table and the document, so that no field is left out
// of one of them.
#ifndef FUZZ_CORRUPTION_H
#define FUZZ_CORRUPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct corruption_bits {
    unsigned char *start;
    size_t count; // bits; 0: the structures that serve this block have no such field
};

struct corruption_field {
    unsigned structure; // enum op_structure
    const char *name;
    const char *what; // in one line: what it is for
    // `choice` picks one where there are several (slots of a magazine, units of a slab). NULL: this
    // flavour has no such field.
    struct corruption_bits (*find)(void *block, uint64_t choice);
};

extern const struct corruption_field corruption_fields[];
extern const unsigned corruption_field_count;

void corruption_flip(struct corruption_bits bits, size_t bit);

// The operation `corrupt`: bit `number` of the fields of the structure, counted through, of those
// that serve the block. Returns the field, or NULL if none serves it. What was corrupted before may
// lead astray.
const struct corruption_field *corruption_locate(unsigned structure, void *block, uint64_t number,
                                                 struct corruption_bits *bits, size_t *bit);

#endif

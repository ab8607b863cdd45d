// layout.h: where the allocator's structures lie and what they look like, for tools that read the
// memory of a process, a core file, or what hak_write_map wrote.
//
// A tool finds it by its first bytes in the writable data of the library or the program: no symbols
// are needed, so that works where they were stripped. All fields are 64 bits wide, little-endian;
// `self` tells the original from a copy. A tool that does not know `format` must not go on.
#ifndef HAK_LAYOUT_H
#define HAK_LAYOUT_H

#include "base.h"

#define LAYOUT_FORMAT 2u

struct layout {
    char magic[16]; // "hakmem layout" once everything is set up, zeroes before
    uint64_t self;  // address of this structure
    uint64_t format;
    char flavour[32]; // of the build, and " small" in the small geometry

    // Geometry.
    uint64_t unit_bytes, superslab_units, class_count, tag_large, tag_huge, page_bytes;

    // Addresses. Tables have an entry per unit or, `masks` and `heaps`, per SuperSlab and heap.
    uint64_t arena, arena_bytes, tags, records, masks;
    uint64_t meta, meta_bytes; // all metadata memory; what is beyond the used part is inaccessible
    uint64_t begun;            // of the count of SuperSlabs begun, 32 bits
    uint64_t heaps_count;      // of the count of heaps, 32 bits
    uint64_t heaps;            // of an array of addresses
    uint64_t classes;          // of entries of which the first 32 bits are the bytes of a block
    uint64_t class_bytes;      // of an entry

    // Records: their size, and where the fields are.
    uint64_t record_bytes, state, class_index, units, blocks, free_blocks, bytes, owner, live;
    // The first `near_words` words of a slab's bitmaps lie in its record, at `free` and `remote`.
    // Others lie at `far`, far_bytes per unit: per SuperSlab the second line (of near_words
    // words) of each unit's free bitmap, then the third ones and so on, then those of remote ones.
    uint64_t free, remote, bitmap_words, near_words, far, far_bytes;

    // Heaps: as the records. The address of the inbox is what `owner` of a slab says.
    uint64_t heap_bytes, magazines, magazine_bytes, top, slots, capacity, inbox, heap_state;
};

extern struct layout hak_layout __attribute__((visibility("hidden")));

// Once at start, behind all other modules.
void hak_layout_start(void);

#endif

// shadow.h: the oracle of every harness: which blocks are live, and what must hold of them.
//
// It shares nothing with the allocator under test: the caller owns the memory of the blocks'
// descriptions (one per slot), and the map allocates nothing. Every function that checks returns
// whether all was well; if not, `reason` says what was wrong, and the map stays usable.
//
// Not thread-safe: the harness serialises calls that take the map. `struct shadow` with
// map == false keeps no map (no check of overlaps, no counts) and its functions then touch only the
// block they are given: for ThreadSanitizer, where a common lock would hide races.
#ifndef FUZZ_SHADOW_H
#define FUZZ_SHADOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Blocks up to this are compared and filled whole; longer ones in their first and last
// SHADOW_EDGE bytes and in one word of each SHADOW_STEP bytes between (a change of any page of a
// block is seen there, a change of single words may not be).
#define SHADOW_WHOLE_MAX ((size_t)64 << 10)
#define SHADOW_EDGE ((size_t)8192)
#define SHADOW_STEP ((size_t)1024)

struct shadow_block {
    struct shadow_block *left; // of the map: ordered by address, heap-ordered by a hash of it
    struct shadow_block *right;
    unsigned char *start; // NULL: describes no block
    size_t asked;         // bytes the user asked for
    size_t usable;        // bytes the allocator said may be used, at least `asked`
    size_t align;
    uint64_t pattern; // seed of the contents
    uint16_t thread;  // that allocated it
};

struct shadow {
    struct shadow_block *root;
    _Atomic uint64_t live; // blocks in the map; these three may be read at any time
    _Atomic uint64_t live_asked_bytes;
    _Atomic uint64_t live_usable_bytes;
    bool map;
    bool use_all;     // contents cover the usable bytes, not only those asked for
    char reason[200]; // of the last failed check
};

// What is known of an allocation before it is made.
struct shadow_request {
    size_t asked;
    size_t align; // that the result must have
    bool zeroed;
    uint64_t pattern; // to fill the block with
    uint16_t thread;
};

// A new block at p: checks alignment, usable size, zeroes, and that it overlaps no live block;
// fills it and enters it. On failure it is not entered.
bool shadow_take(struct shadow *shadow, struct shadow_block *block, void *p, size_t usable,
                 const struct shadow_request *request);
// Checks that the contents are as they were filled.
bool shadow_check(struct shadow *shadow, const struct shadow_block *block);
// The block is about to be freed or resized: checks it and takes it out of the map. It keeps its
// description, which shadow_moved and shadow_kept use.
bool shadow_give(struct shadow *shadow, struct shadow_block *block);
// After shadow_give: the block was resized and is at p now (maybe as before). Checks what it kept
// of its contents and everything shadow_take checks, fills it with the request's pattern.
bool shadow_moved(struct shadow *shadow, struct shadow_block *block, void *p, size_t usable,
                  const struct shadow_request *request);
// After shadow_give: resizing failed. Checks that the block is untouched and enters it again.
bool shadow_kept(struct shadow *shadow, struct shadow_block *block);
// Fills the block with another pattern.
void shadow_fill(struct shadow *shadow, struct shadow_block *block, uint64_t pattern);
// The live block that has some of the `bytes` (at least 1) from p on, the last of several; or NULL.
const struct shadow_block *shadow_find(const struct shadow *shadow, const void *p, size_t bytes);
// Checks the contents of all live blocks and the map itself.
bool shadow_check_all(struct shadow *shadow);
// Forgets all blocks.
void shadow_reset(struct shadow *shadow);

#endif

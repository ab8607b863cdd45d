// slot_map.h: which slot holds the block at an address, while a recording is read.
//
// A hash table with linear probing; addresses are never 0. The slots of freed blocks are handed out
// again, the one freed last first, so that a long recording names few slots.
#ifndef TRACE_SLOT_MAP_H
#define TRACE_SLOT_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct slot_map {
    struct slot_entry {
        uint64_t address; // 0: unused
        uint32_t slot;
    } * entries;
    size_t entries_max; // a power of two, or 0
    size_t live;
    uint32_t *spare; // slots to hand out again
    size_t spare_count;
    size_t spare_max;
    uint32_t slots; // handed out so far
};

void slot_map_free(struct slot_map *map);
// The entry of `address`, or NULL. Valid until the next change.
struct slot_entry *slot_map_find(const struct slot_map *map, uint64_t address);
// Gives `address`, which the map does not have, a slot. False: out of memory or of slots.
bool slot_map_add(struct slot_map *map, uint64_t address, uint32_t *slot);
// The same, with a slot that slot_map_remove kept back.
bool slot_map_put(struct slot_map *map, uint64_t address, uint32_t slot);
// Forgets the entry. If `keep_slot`, its slot is not handed out until slot_map_put used it.
// False: out of memory.
bool slot_map_remove(struct slot_map *map, struct slot_entry *entry, bool keep_slot);

#endif

// slot_map.c: the hash table of slot_map.h, from addresses to slots.
//
// Invariants: at most half of the entries are used; no unused entry lies between an address and
// the place that its hash names (removal moves later entries back); each slot below `slots` is in
// an entry, in `spare`, or kept back by the caller.
#include "slot_map.h"

#include <stdlib.h>

#define ENTRIES_FIRST ((size_t)1 << 10)
#define SPARE_FIRST ((size_t)1 << 8)

void slot_map_free(struct slot_map *map)
{
    free(map->entries);
    free(map->spare);
    *map = (struct slot_map){ 0 };
}

static size_t place_of(const struct slot_map *map, uint64_t address)
{
    // Fibonacci hashing: blocks are a multiple of 16 apart, the upper bits of the product mix well.
    return (size_t)((address * 0x9e3779b97f4a7c15u) >> 20) & (map->entries_max - 1);
}

static struct slot_entry *probe(const struct slot_map *map, uint64_t address)
{
    size_t i = place_of(map, address);
    while (map->entries[i].address != 0 && map->entries[i].address != address)
        i = (i + 1) & (map->entries_max - 1);
    return &map->entries[i];
}

struct slot_entry *slot_map_find(const struct slot_map *map, uint64_t address)
{
    if (map->entries_max == 0)
        return NULL;
    struct slot_entry *entry = probe(map, address);
    return entry->address ? entry : NULL;
}

static bool grow(struct slot_map *map)
{
    struct slot_map larger = *map;
    larger.entries_max = map->entries_max ? map->entries_max * 2 : ENTRIES_FIRST;
    larger.entries = calloc(larger.entries_max, sizeof *larger.entries);
    if (!larger.entries)
        return false;
    for (size_t i = 0; i < map->entries_max; i++)
        if (map->entries[i].address)
            *probe(&larger, map->entries[i].address) = map->entries[i];
    free(map->entries);
    *map = larger;
    return true;
}

bool slot_map_put(struct slot_map *map, uint64_t address, uint32_t slot)
{
    if (map->live >= map->entries_max / 2 && !grow(map))
        return false;
    *probe(map, address) = (struct slot_entry){ address, slot };
    map->live++;
    return true;
}

bool slot_map_add(struct slot_map *map, uint64_t address, uint32_t *slot)
{
    if (map->spare_count > 0) {
        *slot = map->spare[map->spare_count - 1];
        if (!slot_map_put(map, address, *slot))
            return false;
        map->spare_count--;
        return true;
    }
    if (map->slots == UINT32_MAX - 1)
        return false;
    *slot = map->slots;
    if (!slot_map_put(map, address, *slot))
        return false;
    map->slots++;
    return true;
}

bool slot_map_remove(struct slot_map *map, struct slot_entry *entry, bool keep_slot)
{
    if (!keep_slot && map->spare_count == map->spare_max) {
        size_t wanted = map->spare_max ? map->spare_max * 2 : SPARE_FIRST;
        uint32_t *spare = reallocarray(map->spare, wanted, sizeof *spare);
        if (!spare)
            return false;
        map->spare = spare;
        map->spare_max = wanted;
    }
    if (!keep_slot)
        map->spare[map->spare_count++] = entry->slot;
    map->live--;
    size_t hole = (size_t)(entry - map->entries);
    size_t mask = map->entries_max - 1;
    for (size_t i = (hole + 1) & mask; map->entries[i].address; i = (i + 1) & mask) {
        // Its own place must not lie behind the hole, or it would no longer be found.
        size_t home = place_of(map, map->entries[i].address);
        if (((i - home) & mask) < ((i - hole) & mask))
            continue;
        map->entries[hole] = map->entries[i];
        hole = i;
    }
    map->entries[hole].address = 0;
    return true;
}

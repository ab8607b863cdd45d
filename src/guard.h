// guard.h: inaccessible regions in the arena, and how many of them there may be.
//
// Any thread. Each guard splits a mapping in up to three, and the system allows so many: where
// there are GUARDS_MAX, or the kernel refuses, a place goes without, and is counted. Never a
// failure.
#ifndef HAK_GUARD_H
#define HAK_GUARD_H

#include "arena.h"

// The last unit of each SuperSlab is a guard while no huge block lies there, unless there are too
// many guards or memory is short: then it serves as any other.
#define GUARDED_UNIT (SUPERSLAB_UNITS - 1)

// Makes whole pages inaccessible; their contents are gone. False: not done, and counted.
bool hak_guard_set(void *p, size_t bytes);

// `count` guards were made accessible, or became part of something else.
void hak_guard_dropped(uint32_t count);

// The last unit of the SuperSlab, claimed by the caller and unused, becomes a guard, if it can.
// Whether it did: then it reads as zero when it is opened.
bool hak_guard_close_superslab(uint32_t superslab);

// Makes those guards accessible that are last units within [unit, unit + units), which the caller
// claimed. False, and nothing changed, if the system refuses.
bool hak_guard_open_superslabs(uint32_t unit, size_t units);

// Bytes of claimed units that are inaccessible: `bytes` more (or, negative, less) of them.
void hak_inaccessible_add(int64_t bytes);
size_t hak_inaccessible_bytes(void);

bool hak_guard_is_closed(uint32_t superslab);

// A guard was given up because nothing else was left.
void hak_guard_note_refused(void);

uint32_t hak_guards(void);
uint64_t hak_guards_refused(void);

// Forgets everything: `superslabs` were begun until now.
void hak_guard_start(uint32_t superslabs);

#endif

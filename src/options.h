// options.h: the run-time options, one table, read once from HAKMEM_OPTIONS.
//
// HAKMEM_OPTIONS="name=value,name=value". A process that gained privileges at exec reads none. An
// item that is malformed, unknown or out of range is refused with its offset and the reason on
// standard error; the others hold. The defaults are the best configuration.
//
// profile_file=/absolute/path is text: what the names of files begin with.
//
// One item may be options_file=/absolute/path: a file of at most 4096 bytes with name=value on each
// line; lines that are empty or begin with '#' are skipped. What HAKMEM_OPTIONS itself gives goes
// before what the file gives.
//
// prewarm=SIZE:BLOCKS+SIZE:BLOCKS...: at most PREWARM_CLASSES_MAX pairs, PREWARM_BYTES_MAX bytes in
// all; see prewarm.h.
#ifndef HAK_OPTIONS_H
#define HAK_OPTIONS_H

#include "config.h"

enum { OPTIONS_FILE_BYTES_MAX = 4096, OPTIONS_PATH_BYTES = 512 };

struct prewarm_item {
    uint32_t bytes; // of a request
    uint32_t blocks;
};

struct ON_SEALED_PAGE options {
    uint64_t arena_mib;       // largest address space to reserve, MiB; 0: as much as is sensible
    uint64_t purge_delay_ms;  // how long free units stay committed
    uint64_t cache_kib;       // bound of one magazine, KiB of blocks
    uint64_t huge_pages;      // 1: advise 2 MiB pages for SuperSlabs
    uint64_t stats;           // at exit: 0 nothing, 1 text, 2 JSON, 3 CSV on standard error
    uint64_t sample;          // one of so many allocations is guarded; 0: none
    uint64_t count_hits;      // 1: each malloc counts, so that numbers of hits are exact
    uint64_t stats_signal;    // the signal that prints statistics; 0: none
    uint64_t profile;         // bytes between two samples of the heap profile; 0: none
    uint64_t profile_seed;    // where their random numbers begin; 0: anywhere
    uint64_t foreign;         // at exit: 1 report call sites that freed foreign pointers
    uint64_t prewarm_threads; // heaps kept ready for new threads; 0: new threads start cold
    struct prewarm_item prewarm[PREWARM_CLASSES_MAX]; // the first without blocks ends them
    char profile_file[OPTIONS_PATH_BYTES]; // what names of profiles begin with; "": none is written
};

// Read-only after hak_options_read.
extern struct options hak_options __attribute__((visibility("hidden")));

// Sets the defaults, then reads the environment. Called once, before any other thread exists or
// under the start-up gate.
void hak_options_read(void);

void hak_options_defaults(struct options *out);

// Parses one option string, and the file that it names, into `out` and reports refused items to
// standard error, naming `source` or "options_file". Returns the number of refused items. For tests
// and for hak_options_read; one thread at a time.
unsigned hak_options_parse(struct options *out, const char *text, const char *source);

// Writes the table (name, range, default, help) to a descriptor, a line each.
void hak_options_help(int fd);

#endif

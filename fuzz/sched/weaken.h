// weaken.h: the allocator's sites by name, and weakening the memory order of one at run time.
//
// A mutant of the allocator without a rebuild: the site's order becomes relaxed, or loses a part.
// What then fails, and in which harness, says what the order is for.
#ifndef SCHED_WEAKEN_H
#define SCHED_WEAKEN_H

#include <stdbool.h>
#include <stdint.h>

// Number of sites; names of the sites below it, as in sites.h; whether there is an order to weaken.
uint32_t weaken_count(void);
const char *weaken_name(uint32_t site);
bool weaken_has_order(uint32_t site);

// How an order can be weakened: SITE, SITE-acquire and SITE-release (of acq_rel), SITE-sc (of
// seq_cst).
struct weaken_part {
    const char *suffix;
    uint8_t bits; // that are taken away
};
extern const struct weaken_part weaken_parts[]; // the first takes all; ends with suffix NULL
// Whether the part says something of an order (memory_order_bits) that the whole does not.
bool weaken_applies(const struct weaken_part *part, uint8_t order);

// Weakens the order of a site, named with a part's suffix. False: no site or part has this name.
bool weaken(const char *name);

// All orders are in force again.
void weaken_none(void);

#endif

// weaken.h: the allocator's sites by name, and weakening the memory order of one at run time.
//
// A mutant of the allocator without a rebuild: all orders of the site become relaxed. What then
// fails, and in which harness, says what the order is for.
#ifndef SCHED_WEAKEN_H
#define SCHED_WEAKEN_H

#include <stdbool.h>
#include <stdint.h>

// Number of sites; names of the sites below it, as in sites.h; what sites.h says of the order.
uint32_t weaken_count(void);
const char *weaken_name(uint32_t site);
const char *weaken_reason(uint32_t site);

// Makes the site's order relaxed. False: no site has this name.
bool weaken(const char *name);

// All orders are in force again.
void weaken_none(void);

#endif

// weaken.c: the table of sites. Masks are indexed as in seam/atomics.h: site + 1.
#include "weaken.h"

#include <string.h>

#include <sites.h>

#include "scheduler.h"

#define NAME(name, why) { #name, why },
static const struct {
    const char *name, *why;
} sites[] = { HAK_SITES(NAME) };
_Static_assert(SITE_COUNT + 1 <= SCHED_SITES_MAX, "every site has a mask");

uint32_t weaken_count(void)
{
    return SITE_COUNT;
}

const char *weaken_name(uint32_t site)
{
    return sites[site].name;
}

const char *weaken_reason(uint32_t site)
{
    return sites[site].why;
}

bool weaken(const char *name)
{
    for (uint32_t i = 0; i < SITE_COUNT; i++)
        if (strcmp(sites[i].name, name) == 0) {
            sched_order_mask[i + 1] = 0;
            return true;
        }
    return false;
}

void weaken_none(void)
{
    memset(sched_order_mask, 0xff, sizeof sched_order_mask);
}

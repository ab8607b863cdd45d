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

bool weaken_has_order(uint32_t site)
{
    static const char *const without[] = { "relaxed", "plain", "hint" };
    for (unsigned i = 0; i < sizeof without / sizeof without[0]; i++)
        if (strncmp(sites[site].why, without[i], strlen(without[i])) == 0)
            return false;
    return true;
}

const struct weaken_part weaken_parts[] = {
    { "", 0xff }, { "-acquire", ORDER_ACQUIRE }, { "-release", ORDER_RELEASE }, { "-sc", ORDER_SC },
    { 0 },
};

bool weaken_applies(const struct weaken_part *part, uint8_t order)
{
    uint8_t all = order & (ORDER_ACQUIRE | ORDER_RELEASE | ORDER_SC);
    if (part->bits == ORDER_SC)
        return (all & ORDER_SC) != 0;
    return part == weaken_parts || all == (ORDER_ACQUIRE | ORDER_RELEASE);
}

bool weaken(const char *name)
{
    for (uint32_t i = 0; i < SITE_COUNT; i++) {
        size_t length = strlen(sites[i].name);
        if (strncmp(sites[i].name, name, length) != 0)
            continue;
        for (const struct weaken_part *p = weaken_parts; p->suffix != NULL; p++)
            if (strcmp(name + length, p->suffix) == 0) {
                sched_order_mask[i + 1] = (uint8_t)~p->bits;
                return true;
            }
    }
    return false;
}

void weaken_none(void)
{
    memset(sched_order_mask, 0xff, sizeof sched_order_mask);
}

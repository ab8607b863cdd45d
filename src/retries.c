// retries.c: a counter for each place that has a spin_hint.
//
// A site that is not in the table is a mistake of its author: an assertion finds it, and its turns
// count for the last loop.
#include "retries.h"

#include "check.h"

static struct loop {
    ON_OWN_LINE enum site site;
    const char *name;
    struct atomic_u64 retries;
} loops[] = {
    { .site = SITE_CLAIM_SPIN, .name = "claim_units" },
    { .site = SITE_CLAIM_AT_SPIN, .name = "claim_given_units" },
    { .site = SITE_INBOX_SPIN, .name = "inbox_push" },
    { .site = SITE_COMMITTED_PEAK_SPIN, .name = "committed_peak" },
    { .site = SITE_FOREIGN_SPIN, .name = "foreign_site" },
};
enum { LOOPS = sizeof loops / sizeof loops[0] };

COLD void hak_count_retry(enum site site)
{
    unsigned i = 0;
    while (i + 1 < LOOPS && loops[i].site != site)
        i++;
    HAK_ASSERT(loops[i].site == site);
    tally(RETRY, &loops[i].retries);
}

const char *hak_retries_name(unsigned index)
{
    return index < LOOPS ? loops[index].name : NULL;
}

uint64_t hak_retries(unsigned index)
{
    return load_relaxed(RETRIES_READ, &loops[index].retries);
}

// foreign.c: a fixed hash table of call sites that freed pointers which are not ours.
//
//   table   [ call site | frees ]  x SITES_MAX, open addressing: a site lies in one of the
//           PROBES_MAX entries from its hash on, in the first that was free when it came
//   rest    frees of sites that found no free entry, and of unknown sites
//
// Invariants: an entry's call site goes from NULL to its value once and never changes, so equal
// sites always meet in the same entry. total = sum of frees + rest.
// Any thread, no locks: an entry is claimed by compare-and-swap, counters are added to. Nothing is
// ever read through a call site, so relaxed order is enough everywhere.
#include "foreign.h"

#include <seam/atomics.h>

enum {
    SITES_MAX = 256, // a power of two
    PROBES_MAX = 16,
};

struct foreign_site {
    struct atomic_ptr call_site;
    struct atomic_u64 frees;
};

static struct foreign_site table[SITES_MAX];
static struct atomic_u64 rest;

static unsigned hash(const void *call_site)
{
    // Fibonacci hashing: the high bits of a product with 2^64 / golden ratio.
    return (unsigned)((uintptr_t)call_site * UINT64_C(0x9e3779b97f4a7c15) >> 56);
}
_Static_assert(SITES_MAX == 1 << (64 - 56), "the hash is an index of the table");

// Whether the entry is the call site's, after claiming it if it was free.
static bool entry_is(struct foreign_site *entry, void *call_site)
{
    void *seen = load_relaxed(FOREIGN_PROBE, &entry->call_site);
    while (seen == NULL) {
        if (cas_weak_relaxed(FOREIGN_CLAIM, &entry->call_site, &seen, call_site))
            return true;
        spin_hint(FOREIGN_SPIN);
    }
    return seen == call_site;
}

void hak_foreign_count(const void *call_site)
{
    unsigned start = hash(call_site);
    for (unsigned probe = 0; probe < PROBES_MAX && call_site != NULL; probe++) {
        struct foreign_site *entry = &table[(start + probe) % SITES_MAX];
        if (entry_is(entry, (void *)(uintptr_t)call_site)) {
            fetch_add_relaxed(FOREIGN_COUNT, &entry->frees, 1);
            return;
        }
    }
    fetch_add_relaxed(FOREIGN_REST, &rest, 1);
}

static uint64_t frees_of(unsigned index)
{
    return load_relaxed(FOREIGN_READ_COUNT, &table[index].frees);
}

uint64_t hak_foreign_total(void)
{
    uint64_t sum = load_relaxed(FOREIGN_READ_REST, &rest);
    for (unsigned i = 0; i < SITES_MAX; i++)
        sum += frees_of(i);
    return sum;
}

bool hak_foreign_site(unsigned rank, const void **call_site, uint64_t *frees)
{
    uint64_t counts[SITES_MAX]; // one reading of the counters, so that they have one order
    for (unsigned i = 0; i < SITES_MAX; i++)
        counts[i] = frees_of(i);
    for (unsigned i = 0; i < SITES_MAX; i++) {
        unsigned before = 0;
        for (unsigned j = 0; j < SITES_MAX; j++)
            before += counts[j] > counts[i] || (counts[j] == counts[i] && j < i);
        if (counts[i] != 0 && before == rank) {
            *call_site = load_relaxed(FOREIGN_READ_SITE, &table[i].call_site);
            *frees = counts[i];
            return true;
        }
    }
    return false;
}

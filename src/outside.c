// outside.c: which kind of block a pointer outside of the arena is. The ranges of the first two
// kinds are empty where there are none, so that asking costs a comparison.
#include "outside.h"

#include <seam/sanitizer.h>
#include <seam/tls.h>

#include "attach.h"
#include "empty.h"
#include "foreign.h"
#include "mapped.h"
#include "profile.h"
#include "sampled.h"

static bool free_mapped(void *p)
{
    if (!hak_mapped_any())
        return false;
    hak_enter_as_guest();
    if (hak_profile_interval() != 0)
        hak_profile_freed(p, hak_heap_thread(tls_heap())); // before its address can be another's
    bool ours = hak_mapped_free(p);
    bool twice = !ours && hak_mapped_was_freed(p);
    hak_leave_as_guest();
    if (unlikely(twice))
        hak_fault(FAULT_DOUBLE_FREE, p, TAG_HUGE);
    return ours;
}

void hak_outside_free(void *p, const void *call_site)
{
    if (MITIGATE_EMPTY && hak_empty_has(p)) {
        if (!hak_empty_free(p))
            hak_fault((uintptr_t)p % MALLOC_ALIGN == 0 ? FAULT_DOUBLE_FREE : FAULT_INTERIOR_FREE, p,
                      TAG_EMPTY);
        return;
    }
    if (unlikely(hak_sampled_has(p))) {
        hak_enter_as_guest();
        hak_sampled_free(p);
        hak_leave_as_guest();
        sanitize_gone(p, 0); // its page is inaccessible
        return;
    }
    if (free_mapped(p))
        return;
    sanitize_foreign(p);
    if (MITIGATE_POINTERS)
        hak_fault(FAULT_FOREIGN_FREE, p, TAG_NONE);
    hak_foreign_count(call_site);
}

size_t hak_outside_usable(const void *p, enum fault foreign, enum fault invalid)
{
    if (MITIGATE_EMPTY && hak_empty_has(p)) {
        if (!hak_empty_is_live(p))
            hak_fault(invalid, p, TAG_EMPTY);
        return 0;
    }
    hak_enter_as_guest();
    size_t bytes = hak_sampled_has(p) ? hak_sampled_usable(p, invalid) : hak_mapped_usable(p);
    hak_leave_as_guest();
    if (bytes == 0)
        hak_fault(foreign, p, TAG_NONE);
    return bytes;
}

void hak_outside_check_sized(const void *p, size_t n, bool kept)
{
    if (MITIGATE_EMPTY && hak_empty_has(p)) {
        if (n != 0)
            hak_fault(FAULT_SIZE_MISMATCH, p, TAG_EMPTY);
        return;
    }
    bool sampled = hak_sampled_has(p);
    if (!sampled && (p == NULL || !hak_mapped_any()))
        return;
    hak_enter_as_guest();
    size_t bytes = sampled ? hak_sampled_usable(p, FAULT_DOUBLE_FREE) : hak_mapped_usable(p);
    hak_leave_as_guest();
    if (bytes == 0) // free tells what is no block
        return;
    size_t asked = sampled ? n : hak_mapped_usable_for(n);
    if (asked != bytes && !(kept && n < bytes))
        hak_fault(FAULT_SIZE_MISMATCH, p, sampled ? TAG_NONE : TAG_HUGE);
}

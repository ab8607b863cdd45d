// sized.c: with a canary sizes are compared to the byte, for blocks of a class where these are
// freed (alloc.c), else with the class, large ones and mappings to the page; sampled ones always to
// the byte.
//
// A block may be larger than was asked for: realloc leaves a block in place from half its bytes on,
// and where memory is short at any size; `blocks_kept` says that the second has happened to one
// whose canary does not tell.
#include "sized.h"

#include "harden.h"
#include "large.h"
#include "outside.h"
#include "profiled.h"

static struct atomic_u32 blocks_kept;

void hak_sized_note_kept(void)
{
    store_relaxed(KEPT_SET, &blocks_kept, 1);
}

COLD void hak_sized_check(void *p, size_t align, size_t n)
{
    bool kept = load_relaxed(KEPT_READ, &blocks_kept) != 0;
    if (p == NULL || !hak_arena_has(p)) {
        hak_outside_check_sized(p, n, kept);
        return;
    }
    unsigned tag = hak_tag_of(p);
    bool fits;
    if (tag == TAG_PROFILED)
        tag = hak_profiled_class(p);
    if (tag > CLASS_LAST) {
        const struct slab *s = hak_large_record(p);
        fits = s == NULL || own_load(&s->bytes) == hak_large_usable(n) || // free tells the first
               (kept && n <= own_load(&s->bytes));
    } else if (MITIGATE_CANARY && MITIGATE_STATE &&
               tag != TAG_NONE) { // free tells what is no block
        bool is_live = (uintptr_t)p % MALLOC_ALIGN == 0 && hak_live_is_set(p);
        fits = !is_live || hak_harden_usable(p, tag) == max_size(n, 1);
    } else {
        size_t bytes = hak_class_bytes(tag) - CANARY_BYTES;
        unsigned exact = align > MALLOC_ALIGN ? hak_class_request(n, align) : 0;
        fits = tag == TAG_NONE || exact == tag ||
               (n <= bytes && (kept || n > bytes / 2 || hak_class_of(n + CANARY_BYTES) == tag));
    }
    if (!fits)
        hak_fault(FAULT_SIZE_MISMATCH, p, tag);
}

// audit.c: a walk over the whole heap that checks every invariant, at a quiescent point.
//
//   units:      UNUSED and EMPTY ones have no tag and no record; each other unit belongs to one run
//   slabs:      hak_slab_ok; owned by a heap of the table; with a free bit <=> in its owner's list
//   magazines:  each block is the start of a block of that class, handed out, in no bitmap, and in
//               no other magazine
//   remote:     a slab with remote bits, or whose token is taken, is in its owner's inbox: a lost
//               notification would be neither
//   conservation:  capacity == live + cached + free + remote, each block in one place
//   large:      a record that is not live is kept or held back by a heap
//   hints:      a SuperSlab with free (EMPTY) units has its hint
//
// "In no other magazine" needs a bit per possible block: scratch memory, mapped for the walk. All
// else is in place. Nothing is repaired; the first finding is kept as text, all are counted.

#include <seam/os.h>

#include "attach.h"
#include "hakmem.h"
#include "heaps.h"
#include "large.h"
#include "mapped.h"
#include "print.h"
#include "profiled.h"

struct walk {
    struct hak_audit_report *report;
    uint64_t *cached; // scratch: SLAB_WORDS_MAX words per unit
    uint64_t listed;  // slabs found in lists of heaps
    uint64_t partial; // slabs that say that they are in one
    uint64_t inboxed; // slabs found in inboxes
    uint64_t pending; // slabs whose token is taken
    uint64_t resting; // large and huge runs that heaps say they keep or hold back
    uint64_t freed;   // those whose record says so
};

static void error(struct walk *w, const char *what, const void *where)
{
    if (w->report->errors++ != 0)
        return;
    struct printer out;
    hak_print_to_buffer(&out, w->report->first_error, sizeof w->report->first_error);
    hak_put_text(&out, what);
    hak_put_text(&out, " at ");
    hak_put_hex(&out, (uintptr_t)where);
    hak_print_end(&out);
}

static uint64_t *cached_words(const struct walk *w, const struct slab *s)
{
    return w->cached + (size_t)hak_slab_unit(s) * SLAB_WORDS_MAX;
}

static void check_cached_block(struct walk *w, unsigned class_index, const void *p)
{
    if (!hak_arena_has(p) || hak_tag_of(p) != class_index) {
        error(w, "a magazine holds what is no block of its class", p);
        return;
    }
    const struct slab *s = hak_slab_of_unit(hak_unit_of(p));
    uint32_t index = hak_slab_index(s, p);
    if (index == UINT32_MAX || index >= own_load(&s->handed)) {
        error(w, "a magazine holds what was never a block", p);
        return;
    }
    uint64_t *word = &cached_words(w, s)[index / 64];
    uint64_t bit = (uint64_t)1 << index % 64;
    if ((*word & bit) != 0)
        error(w, "a block is in two magazines, or twice in one", p);
    *word |= bit;
    w->report->cached++;
}

static void check_recent(struct walk *w, const struct recent *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        const struct slab *s = hak_slab_at(r->unit[i]);
        if (own_load(&s->state) <= SLAB_ACTIVE || own_load(&s->units) != r->units ||
            hak_large_is_live(s))
            error(w, "a kept run is none, of another length, or handed out", hak_slab_base(s));
    }
    w->resting += r->count;
}

static void check_inbox(struct walk *w, const struct inbox *inbox)
{
    const struct slab *s = load_relaxed(AUDIT_INBOX, &inbox->head);
    for (; s != NULL; s = load_relaxed(AUDIT_LINK, &s->link)) {
        if (!hak_remote_is_owner(s, inbox))
            error(w, "a slab is in an inbox that is not its owner's", s);
        w->inboxed++;
    }
}

static void check_heap(struct walk *w, struct heap *h)
{
    if (!hak_heap_ok(h))
        error(w, "a heap's lists or magazines are inconsistent", h);
    for (unsigned c = CLASS_FIRST; c <= CLASS_LAST; c++) {
        const struct magazine *m = &h->magazines[c];
        for (uint32_t i = 1; i <= hak_magazine_count(m); i++)
            check_cached_block(w, c, hak_magazine_slots(m)[i]);
        for (const struct slab *s = h->first[c]; s != NULL; s = s->next)
            w->listed++;
    }
    for (uint32_t i = 0; MITIGATE_QUARANTINE && i < HEAP_WAITING_MAX; i++) {
        const void *p = hak_heap_waiting(h, i);
        if (p != NULL)
            check_cached_block(w, hak_tag_of(p), p);
    }
    check_recent(w, &h->recent);
    if (HEAP_HAS_HELD)
        w->resting += hak_held_count(&hak_heap_extra(h)->held);
    check_inbox(w, &h->inbox);
}

static bool has_owner(const struct slab *s)
{
    if (hak_profiled_owns(s))
        return hak_tag_of(hak_slab_base(s)) == TAG_PROFILED;
    for (uint32_t i = 0, count = hak_heaps_count(); i < count; i++)
        if (hak_remote_is_owner(s, &hak_heaps_at(i)->inbox))
            return true;
    return false;
}

static void check_slab(struct walk *w, const struct slab *s)
{
    struct hak_audit_report *r = w->report;
    const void *base = hak_slab_base(s);
    if (!hak_slab_ok(s)) {
        error(w, "a slab's record contradicts itself", base);
        return;
    }
    if (!has_owner(s))
        error(w, "a slab has no owner", base);
    bool partial = s->place == PLACE_PARTIAL;
    if (partial != (own_load(&s->free_blocks) != 0))
        error(w, "a slab is not in the list where it belongs", base);
    bool pending = load_relaxed(AUDIT_PENDING, &s->pending) != 0;
    uint32_t remote = hak_remote_count(s);
    if (remote != 0 && !pending)
        error(w, "a remote free was not notified", base);
    for (unsigned i = 0; i < hak_slab_words(s); i++) {
        uint64_t elsewhere = own_load(hak_slab_free_word(s, i)) |
                             load_relaxed(AUDIT_REMOTE, hak_slab_remote_word(s, i));
        if ((cached_words(w, s)[i] & elsewhere) != 0)
            error(w, "a block is in a magazine and in its slab", base);
    }
    w->partial += partial;
    w->pending += pending;
    r->slabs++;
    r->capacity += own_load(&s->blocks);
    r->free += own_load(&s->free_blocks);
    r->remote += remote;
}

static void check_units(struct walk *w, uint32_t superslab)
{
    uint64_t word = hak_superslab_word(superslab);
    const void *base = hak_unit_base(superslab * SUPERSLAB_UNITS);
    if (!hak_superslab_ok(superslab))
        error(w, "units are both EMPTY and UNUSED", base);
    for (unsigned i = 0; i < SUPERSLAB_UNITS; i++) {
        uint32_t unit = superslab * SUPERSLAB_UNITS + i;
        bool is_free = ((word | word >> 32) >> i & 1) != 0;
        bool tagged = hak_tag_of(hak_unit_base(unit)) != TAG_NONE;
        if (is_free && (tagged || own_load(&hak_slab_at(unit)->state) != SLAB_NONE))
            error(w, "a free unit has a tag or a record", hak_unit_base(unit));
        if (!is_free && !tagged)
            error(w, "a unit belongs to nothing", hak_unit_base(unit));
    }
    bool has_empty = hak_mask_empty(word) != 0;
    if ((has_empty && hak_superslab_next(superslab, true) != superslab) ||
        (word != 0 && hak_superslab_next(superslab, false) != superslab))
        error(w, "free units have no hint", base);
}

static void check_runs(struct walk *w)
{
    uint32_t unit = 0;
    uint32_t end = hak_superslabs_begun() * SUPERSLAB_UNITS;
    for (const struct slab *s; (s = hak_slab_walk(&unit, end)) != NULL;) {
        if (own_load(&s->state) > SLAB_ACTIVE && !hak_large_is_live(s)) {
            w->freed++;
            continue;
        }
        switch (own_load(&s->state)) {
        case SLAB_ACTIVE:
            check_slab(w, s);
            continue;
        case SLAB_LARGE:
            w->report->large++;
            break;
        case SLAB_HUGE:
            w->report->huge++;
            break;
        default:
            error(w, "a record's state is impossible", hak_slab_base(s));
            continue;
        }
        if (!hak_large_ok(s))
            error(w, "a large block's record contradicts itself", hak_slab_base(s));
    }
    struct large_counts counts = hak_large_live();
    if (counts.large != w->report->large || counts.huge != w->report->huge)
        error(w, "large or huge blocks are miscounted", NULL);
}

static void check_sums(struct walk *w)
{
    struct hak_audit_report *r = w->report;
    if (w->listed != w->partial)
        error(w, "a slab is lost from its list", NULL);
    if (w->inboxed != w->pending)
        error(w, "a slab's token is taken, but it is in no inbox", NULL);
    // A guard that the system did not remove for a thread without a heap leaves a freed run.
    if (w->resting > w->freed || (w->resting < w->freed && !MITIGATE_GUARDS))
        error(w, "a freed large block is lost, or kept twice", NULL);
    if (r->free + r->remote + r->cached > r->capacity)
        error(w, "there are more free blocks than blocks", NULL);
    else
        r->live = r->capacity - r->free - r->remote - r->cached;
}

bool hak_audit(struct hak_audit_report *out)
{
    struct walk w = { .report = out };
    __builtin_memset(out, 0, sizeof *out);
    if (!hak_started())
        return true;
    uint32_t begun = hak_superslabs_begun();
    size_t scratch_bytes = round_up(
        (size_t)begun * SUPERSLAB_UNITS * SLAB_WORDS_MAX * sizeof(uint64_t) + 1, os_page_size());
    w.cached = os_reserve(scratch_bytes, os_page_size());
    if (w.cached == NULL || !os_commit(w.cached, scratch_bytes)) {
        error(&w, "no scratch memory for the audit", NULL);
        if (w.cached != NULL)
            os_release(w.cached, scratch_bytes);
        return false;
    }
    if (!hak_classes_ok())
        error(&w, "the table of size classes is wrong", hak_classes);
    for (uint32_t i = 0, count = hak_heaps_count(); i < count; i++)
        check_heap(&w, hak_heaps_at(i));
    check_inbox(&w, hak_profiled_inbox());
    w.listed += hak_profiled_listed();
    for (uint32_t i = 0; i < begun; i++)
        check_units(&w, i);
    check_runs(&w);
    check_sums(&w);
    if (!hak_mapped_ok())
        error(&w, "the registry of mappings is inconsistent", NULL);
    out->huge += hak_mapped_count();
    os_release(w.cached, scratch_bytes);
    return out->errors == 0;
}

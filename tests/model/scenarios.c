// scenarios.c: the protocols of remote.c, superslab.c and heaps.c, in a few steps each.
//
// `payload` stands for what a thread did to a block before it freed it: whoever finds the block
// free must see it. `held` counts who believes to own a unit or a heap.
#include "scenarios.h"

#include <string.h>

#include "arena.h"
#include "heaps.h"
#include "explore.h"
#include "meta.h"
#include "pool.h"
#include "process.h"
#include "remote.h"
#include "sizeclass.h"
#include "superslab.h"
#include "system.h"

enum { BLOCKS = 4, UNITS = 4 };

static struct inbox inboxes[3];
static uint32_t payload[BLOCKS]; // cells of the model
static uint32_t held[UNITS];
static uint32_t uses[UNITS]; // what `payload` of a unit must be
static uint32_t harvested;
static bool released;
static bool stray; // a slab came to one that does not own it

static const struct sched_site write_payload = { .name = "payload",
                                                 .kind = EVENT_STORE,
                                                 .bytes = 4 };
static const struct sched_site read_payload = { .name = "payload", .kind = EVENT_LOAD, .bytes = 4 };

// ---- a slab of four blocks in use, owned by inbox 0 ----

static void start_arena(void)
{
    uint32_t unit;
    system_reset((size_t)4 << 20, NULL);
    process_reset();
    memset(inboxes, 0, sizeof inboxes);
    memset(payload, 0, sizeof payload);
    memset(held, 0, sizeof held);
    memset(uses, 0, sizeof uses);
    harvested = 0;
    released = stray = false;
    hak_classes_start((size_t)16 << 10);
    if (!hak_arena_start(2 * SUPERSLAB_SIZE))
        sched_fail("harness", "no arena");
    hak_meta_start();
    hak_superslabs_start();
    hak_pool_start();
    hak_heaps_start();
    if (!hak_superslab_begin(1, SUPERSLAB_UNITS, UINT32_MAX, &unit))
        sched_fail("harness", "no SuperSlab");
}

static struct slab *slab(void)
{
    return hak_slab_at(0);
}

// All blocks but the first BLOCKS are free, these are in use.
static void begin_slab(struct inbox *owner)
{
    void *out[SLAB_BLOCKS_MAX];
    hak_slab_begin(slab(), hak_class_of(1024), 1, true);
    hak_remote_begin(slab(), owner);
    hak_slab_take(slab(), out, own_load(&slab()->blocks));
}

static void setup_slab(void *arg)
{
    (void)arg;
    start_arena();
    begin_slab(&inboxes[0]);
}

static void free_remotely(unsigned block)
{
    sched_store(&write_payload, &payload[block], 1);
    if (hak_remote_mark(slab(), 0, UINT64_C(1) << block) != 0)
        sched_fail("check", "block %u was marked before", block);
    hak_remote_notify(slab());
}

static void drain(struct inbox *mine)
{
    struct slab *next;
    for (struct slab *s = hak_remote_take_all(mine); s != NULL; s = next) {
        uint64_t before = own_load(hak_slab_free_word(s, 0));
        stray |= s->owner.raw != mine;
        harvested += hak_remote_settle(s, &next);
        if (!sched_is_running())
            continue;
        for (uint64_t got = own_load(hak_slab_free_word(s, 0)) & ~before; got != 0; got &= got - 1)
            if (sched_load(&read_payload, &payload[lowest_bit(got)]) != 1)
                sched_fail("check", "a free block, and its last use is not over");
    }
}

static void free_or_drain(void *arg, uint32_t t)
{
    (void)arg;
    if (t != 0) {
        free_remotely(t - 1);
        return;
    }
    drain(&inboxes[0]);
    drain(&inboxes[0]);
}

// The same with the threads the other way round, for a freer that stops.
static void drain_or_free(void *arg, uint32_t t)
{
    free_or_drain(arg, 2 - t);
}

// What a thread that stopped left behind is nobody's; what the others freed is not lost.
static const char *others_done(void *arg)
{
    (void)arg;
    drain(&inboxes[0]);
    if (stray)
        return "a slab came to the inbox of one that does not own it";
    return harvested + hak_remote_count(slab()) <= 2 ? NULL
                                                     : "more blocks came back than were freed";
}

// One thread frees two blocks, one after the other, and another a third.
static void free_two_or_drain(void *arg, uint32_t t)
{
    (void)arg;
    if (t == 0) {
        drain(&inboxes[0]);
    } else if (t == 1) {
        free_remotely(0);
        free_remotely(1);
    } else {
        free_remotely(2);
    }
}

static const char *all_back(uint32_t expected)
{
    for (unsigned i = 0; i < 3; i++)
        drain(&inboxes[i]);
    if (stray)
        return "a slab came to the inbox of one that does not own it";
    if (hak_remote_count(slab()) != 0)
        return "remote bits are left, and nobody was told";
    if (!hak_remote_try_hold(slab()))
        return "the token is gone";
    return harvested == expected ? NULL : "blocks came back more or less than once";
}

static const char *two_back(void *arg)
{
    (void)arg;
    return all_back(2);
}

static const char *three_back(void *arg)
{
    (void)arg;
    return all_back(3);
}

// ---- two slabs in one inbox: the second is found through the first one's link ----

static void setup_two_slabs(void *arg)
{
    void *out[SLAB_BLOCKS_MAX];
    setup_slab(arg);
    struct slab *s = hak_slab_at(1);
    hak_slab_begin(s, hak_class_of(1024), 1, true);
    hak_remote_begin(s, &inboxes[0]);
    hak_slab_take(s, out, own_load(&s->blocks));
}

static void free_in_two_or_drain(void *arg, uint32_t t)
{
    (void)arg;
    if (t == 0) {
        drain(&inboxes[0]);
        return;
    }
    sched_store(&write_payload, &payload[0], 1);
    hak_remote_mark(hak_slab_at(t - 1), 0, 1);
    hak_remote_notify(hak_slab_at(t - 1));
}

static const char *both_back(void *arg)
{
    (void)arg;
    const char *wrong = all_back(2);
    if (wrong == NULL && hak_remote_count(hak_slab_at(1)) != 0)
        wrong = "remote bits of the second slab are left, and nobody was told";
    return wrong;
}

// ---- release and a new life under another owner ----

static void free_or_release(void *arg, uint32_t t)
{
    (void)arg;
    if (t != 0) {
        free_remotely(t - 1);
        return;
    }
    for (int round = 0; round < 2 && !released; round++) {
        drain(&inboxes[0]);
        if (harvested != 2 || !hak_remote_try_hold(slab()))
            continue;
        released = true;
        hak_slab_end(slab());
        begin_slab(&inboxes[1]);
        drain(&inboxes[1]); // the new owner: late notifications find it, for nothing
    }
}

static const char *clean_new_life(void *arg)
{
    (void)arg;
    if (!released)
        return all_back(2);
    const char *wrong = all_back(2);
    if (wrong != NULL)
        return wrong;
    return own_load(&slab()->free_blocks) == 0 ? NULL
                                               : "a free of the old life reached the new one";
}

// ---- an idle owner is swept: the slab changes hands ----

static void free_or_adopt(void *arg, uint32_t t)
{
    (void)arg;
    if (t != 0) {
        free_remotely(t - 1);
        return;
    }
    drain(&inboxes[0]);
    if (hak_remote_try_hold(slab()))
        harvested += hak_remote_adopt(slab(), &inboxes[1]);
    drain(&inboxes[1]);
}

// ---- units: claims, releases, the purger ----

static void setup_units(void *arg)
{
    (void)arg;
    start_arena();
    hak_superslab_give(0, 2, true); // two EMPTY units, the others are in use
}

static void hold(uint32_t unit)
{
    if (unit >= UNITS || held[unit]++ != 0)
        sched_fail("check", "unit %u is claimed twice", unit);
    // What its last holder wrote into it must be over.
    if (sched_load(&read_payload, &payload[unit]) != uses[unit])
        sched_fail("check", "unit %u is claimed while its last user writes", unit);
}

static void unhold(uint32_t unit)
{
    sched_store(&write_payload, &payload[unit], ++uses[unit]);
    held[unit]--;
}

static void claim_release_purge(void *arg, uint32_t t)
{
    struct run run;
    (void)arg;
    if (t == 0 && hak_superslab_claim(0, 2, 1, true, &run)) {
        hold(run.unit);
        hold(run.unit + 1);
    } else if (t == 1 && hak_superslab_claim(0, 1, 1, true, &run)) {
        hold(run.unit);
        unhold(run.unit);
        hak_superslab_give(run.unit, 1, true);
    } else if (t == 2) {
        uint32_t got = hak_superslab_claim_empty(0, 3);
        for (uint32_t m = got; m != 0; m &= m - 1)
            hold(lowest_bit(m));
        for (uint32_t m = got; m != 0; m &= m - 1) {
            unhold(lowest_bit(m));
            hak_superslab_give(lowest_bit(m), 1, false);
        }
    }
}

static const char *units_add_up(void *arg)
{
    (void)arg;
    uint64_t word = hak_superslab_word(0);
    uint32_t empty = hak_mask_empty(word), unused = hak_mask_unused(word);
    if ((empty & unused) != 0)
        return "a unit is EMPTY and UNUSED";
    for (uint32_t i = 0; i < 2; i++)
        if (held[i] + (empty >> i & 1) + (unused >> i & 1) != 1)
            return "a unit is lost";
    return (empty | unused) >> 2 == 0 ? NULL : "a unit in use became free";
}

// One claims both units where they are, as a huge block does; another uses one of them.
static void claim_at_or_use(void *arg, uint32_t t)
{
    struct run run;
    (void)arg;
    if (t == 0 && hak_superslab_claim_at(0, 2, &run)) {
        hold(0);
        hold(1);
    } else if (t == 1 && hak_superslab_claim(0, 1, 1, true, &run)) {
        hold(run.unit);
        unhold(run.unit);
        hak_superslab_give(run.unit, 1, true);
    }
}

// ---- a SuperSlab is begun while the purger looks for old units ----

static void setup_arena(void *arg)
{
    (void)arg;
    start_arena();
    os_fault_pause(true); // failures of the system are fuzz_os's
}

static void begin_or_purge(void *arg, uint32_t t)
{
    uint32_t unit;
    (void)arg;
    if (t == 1) {
        hak_pool_purge(1000, 100, SUPERSLAB_UNITS);
        return;
    }
    if (!hak_superslab_begin(1, 1, UINT32_MAX, &unit))
        sched_fail("harness", "no second SuperSlab");
    hak_pool_release(unit, 1, 100);
}

static const char *second_is_free(void *arg)
{
    (void)arg;
    uint64_t word = hak_superslab_word(1);
    return (hak_mask_empty(word) ^ hak_mask_unused(word)) == UINT32_MAX ? NULL : "a unit is lost";
}

// ---- hints: one clears a SuperSlab's hint, another gives a unit of it back ----

static void setup_hint(void *arg)
{
    struct run run;
    (void)arg;
    start_arena();
    hak_superslab_give(0, 1, true); // sets both hints
    if (!hak_superslab_claim(0, 1, 1, true, &run))
        sched_fail("harness", "no unit to claim");
}

static void clear_or_give(void *arg, uint32_t t)
{
    (void)arg;
    if (t == 0)
        hak_superslab_clear_hint(0, true);
    else if (t == 1)
        hak_superslab_give(0, 1, true);
    else
        hak_superslab_clear_hint(0, false);
}

static const char *hints_hold(void *arg)
{
    (void)arg;
    if (hak_superslab_next(0, true) != 0)
        return "an EMPTY unit is lost: its SuperSlab has no hint of one";
    return hak_superslab_next(0, false) == 0 ? NULL : "a free unit is lost: no hint of one";
}

// ---- heaps: borrowed, given back, swept ----

static void setup_heaps(void *arg)
{
    (void)arg;
    start_arena();
    hak_heaps_return(hak_heaps_borrow());
}

static struct heap *borrow_and_mark(void)
{
    struct heap *h = hak_heaps_borrow();
    if (h == NULL)
        sched_fail("check", "no heap");
    uint32_t index = h == hak_heaps_at(0) ? 0 : 1;
    if (index == 0)
        hold(0);
    // What the last owner of the heap did to it must be over.
    if (index == 0 && sched_load(&read_payload, &payload[0]) != harvested)
        sched_fail("check", "a heap whose last owner is still at work");
    return h;
}

static void give_back(struct heap *h)
{
    if (h == hak_heaps_at(0)) {
        harvested++;
        sched_store(&write_payload, &payload[0], harvested);
        unhold(0);
    }
    hak_heaps_return(h);
}

static void borrow_or_sweep(void *arg, uint32_t t)
{
    (void)arg;
    struct heap *h = borrow_and_mark();
    if (t == 1)
        hak_heaps_sweep(h, TAG_NONE, 1);
    give_back(h);
}

static const char *heaps_idle(void *arg)
{
    (void)arg;
    if (hak_heaps_idle() != hak_heaps_count())
        return "a heap is neither borrowed nor idle";
    return held[0] == 0 ? NULL : "a heap is held";
}

const struct scenario protocol_scenarios[] = {
    { "remote free x drain", "owner drains twice; two threads free a block each", 3,
      SEARCH_UNBOUNDED, setup_slab, free_or_drain, two_back, false },
    { "remote frees x drain", "owner drains; one thread frees two blocks, one frees one", 3,
      SEARCH_UNBOUNDED, setup_slab, free_two_or_drain, three_back, false },
    { "two slabs x drain", "owner drains; two threads free a block each, of two slabs", 3,
      SEARCH_UNBOUNDED, setup_two_slabs, free_in_two_or_drain, both_back, false },
    { "release x late notification", "owner drains, releases, new life; two threads free", 3,
      SEARCH_UNBOUNDED, setup_slab, free_or_release, clean_new_life, false },
    { "sweep x late notification", "sweeper drains, re-owns, drains; two threads free", 3,
      SEARCH_UNBOUNDED, setup_slab, free_or_adopt, two_back, false },
    { "claim x release x purge", "claims two EMPTY units; claims and gives one; purges both", 3,
      SEARCH_UNBOUNDED, setup_units, claim_release_purge, units_add_up, false },
    { "claim of a run x use", "claims two units where they are; claims, uses and gives one", 2,
      SEARCH_UNBOUNDED, setup_units, claim_at_or_use, units_add_up, false },
    { "begin x purge", "begins a SuperSlab, gives a unit as EMPTY; purges what is old", 2,
      SEARCH_UNBOUNDED, setup_arena, begin_or_purge, second_is_free, false },
    { "give x clear of its hints", "clears one hint; gives a unit; clears the other hint", 3,
      SEARCH_UNBOUNDED, setup_hint, clear_or_give, hints_hold, false },
    { "heaps: borrow x sweep", "borrows and returns; borrows, sweeps and returns", 2,
      SEARCH_UNBOUNDED, setup_heaps, borrow_or_sweep, heaps_idle, false },
    { "owner frozen x two freers", "drains twice and stops anywhere; two threads free a block", 3,
      SEARCH_UNBOUNDED, setup_slab, free_or_drain, others_done, true },
    { "freer frozen x drain", "frees and stops anywhere; another frees; the owner drains", 3,
      SEARCH_UNBOUNDED, setup_slab, drain_or_free, others_done, true },
    { 0 },
};

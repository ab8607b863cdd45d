// fuzz_units.c: the masks of units, claims and hints against an array of states.
//
// Input: records of four bytes: what to do, with which SuperSlab, and two numbers for it.
#include "target.h"
#include "world.h"

#include "../src/superslab.h"

#include <string.h>

const char target_name[] = "fuzz_units";

#define SUPERSLABS 6u
#define UNITS (SUPERSLABS * SUPERSLAB_UNITS)

enum state { UNUSED, EMPTY, ACTIVE };

static uint32_t begun; // SuperSlabs
static enum state state[UNITS];
static bool free_hint[SUPERSLABS], empty_hint[SUPERSLABS];

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    world_reset();
    return 0;
}

static uint32_t mask(uint32_t superslab, enum state wanted)
{
    uint32_t bits = 0;
    for (unsigned i = 0; i < SUPERSLAB_UNITS; i++)
        bits |= (uint32_t)(state[superslab * SUPERSLAB_UNITS + i] == wanted) << i;
    return bits;
}

static void set(uint32_t unit, unsigned units, enum state becomes)
{
    for (unsigned i = 0; i < units; i++)
        state[unit + i] = becomes;
}

// Bit by bit: the first place that is aligned and free.
static unsigned find_run(uint32_t available, unsigned units, unsigned align)
{
    for (unsigned first = 0; first + units <= SUPERSLAB_UNITS; first += align) {
        unsigned length = 0;
        while (length < units && (available >> (first + length) & 1))
            length++;
        if (length == units)
            return first;
    }
    return SUPERSLAB_UNITS;
}

static void check(void)
{
    size_t committed = 0;
    for (uint32_t i = 0; i < begun; i++) {
        uint64_t word = hak_superslab_word(i);
        target_must(hak_mask_empty(word) == mask(i, EMPTY),
                    "other units are EMPTY than in the model");
        target_must(hak_mask_unused(word) == mask(i, UNUSED),
                    "other units are UNUSED than in the model");
        target_must(hak_superslab_ok(i), "a SuperSlab's own check fails");
    }
    for (uint32_t unit = 0; unit < begun * SUPERSLAB_UNITS; unit++)
        committed += state[unit] != UNUSED;
    target_must(hak_superslab_bytes_committed() == committed * UNIT_SIZE,
                "committed units are miscounted");
    target_must(hak_superslabs_begun() == begun, "another number of SuperSlabs is begun");
}

// ---- what can be done ----

static void check_run(const struct run *r, uint32_t unit, unsigned units)
{
    uint32_t warm = 0;
    for (unsigned i = 0; i < units; i++)
        warm |= (uint32_t)(state[unit + i] == EMPTY) << i;
    target_must(r->unit == unit && r->units == units, "another run was claimed");
    target_must(r->warm == warm, "other units of a run are warm than in the model");
    set(unit, units, ACTIVE);
}

static void claim(uint32_t superslab, unsigned units, unsigned align, bool empty_only)
{
    uint32_t available = mask(superslab, EMPTY) | (empty_only ? 0 : mask(superslab, UNUSED));
    unsigned first = find_run(available, units, align);
    struct run r;
    target_must(hak_run_find(available, units, align) == first,
                "another run was found than bit by bit");
    bool got = hak_superslab_claim(superslab, units, align, empty_only, &r);
    target_must(got == (first != SUPERSLAB_UNITS), "a claim succeeds or not, unlike the model");
    if (got)
        check_run(&r, superslab * SUPERSLAB_UNITS + first, units);
}

static void claim_at(uint32_t unit, unsigned units)
{
    bool available = true;
    for (unsigned i = 0; i < units; i++)
        available &= state[unit + i] != ACTIVE;
    struct run r;
    target_must(hak_superslab_claim_at(unit, units, &r) == available,
                "a claim of given units succeeds or not, unlike the model");
    if (available)
        check_run(&r, unit, units);
}

static void claim_empty(uint32_t superslab, uint32_t bits)
{
    uint32_t due = mask(superslab, EMPTY) & bits;
    target_must(hak_superslab_claim_empty(superslab, bits) == due, "the purger got other units");
    for (unsigned i = 0; i < SUPERSLAB_UNITS; i++)
        if (due >> i & 1)
            state[superslab * SUPERSLAB_UNITS + i] = ACTIVE;
}

// Gives those units of the run back that are claimed, run by run.
static void give(uint32_t unit, unsigned units, bool empty)
{
    for (unsigned i = 0, length; i < units; i += length + 1) {
        for (length = 0; i + length < units && state[unit + i + length] == ACTIVE; length++)
            continue;
        if (length == 0)
            continue;
        hak_superslab_give(unit + i, length, empty);
        set(unit + i, length, empty ? EMPTY : UNUSED);
        free_hint[unit / SUPERSLAB_UNITS] = true;
        empty_hint[unit / SUPERSLAB_UNITS] |= empty;
    }
}

static void begin(uint32_t count, uint32_t units, bool expect_wrong)
{
    uint32_t unit = UINT32_MAX;
    bool fits = count <= SUPERSLABS - begun && !expect_wrong;
    target_must(hak_superslab_begin(count, units, begun + expect_wrong, &unit) == fits,
                "SuperSlabs are begun or not, unlike the model");
    if (!fits)
        return;
    target_must(unit == begun * SUPERSLAB_UNITS, "the new units are not those behind the last");
    set(unit, count * SUPERSLAB_UNITS, UNUSED);
    set(unit, units, ACTIVE);
    begun += count;
    free_hint[begun - 1] = units != count * SUPERSLAB_UNITS;
}

static void look(uint32_t from, bool empty)
{
    uint32_t due = from;
    while (due < begun && !(empty ? empty_hint : free_hint)[due])
        due++;
    target_must(hak_superslab_next(from, empty) == (due < begun ? due : UINT32_MAX),
                "another SuperSlab is said to have free units");
}

static void clear_hint(uint32_t superslab, bool empty)
{
    bool any = mask(superslab, EMPTY) != 0 || (!empty && mask(superslab, UNUSED) != 0);
    hak_superslab_clear_hint(superslab, empty);
    (empty ? empty_hint : free_hint)[superslab] = any;
}

static void act(const uint8_t *record)
{
    uint32_t superslab = record[1] % begun;
    unsigned first = record[2] % SUPERSLAB_UNITS;
    unsigned units = 1 + record[3] % (SUPERSLAB_UNITS - first);
    uint32_t unit = superslab * SUPERSLAB_UNITS + first;
    bool flag = (record[1] & 128) != 0;
    switch (record[0] % 8) {
    case 0:
        claim(superslab, 1 + record[3] % SUPERSLAB_UNITS, 1u << record[2] % 6, flag);
        break;
    case 1:
        claim_at(unit, units);
        break;
    case 2:
        claim_empty(superslab, hak_run_bits(first, units));
        break;
    case 3:
    case 4:
        give(unit, units, flag);
        break;
    case 5:
        begin(1 + record[2] % 3,
              (1 + record[2] % 3) * SUPERSLAB_UNITS - record[3] % SUPERSLAB_UNITS,
              record[1] % 8 == 7);
        break;
    case 6:
        look(record[2] % (begun + 1), flag);
        break;
    default:
        clear_hint(superslab, flag);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    world_reset();
    target_must(hak_arena_start(SUPERSLABS * SUPERSLAB_SIZE), "no arena");
    hak_superslabs_start();
    begun = 0;
    memset(free_hint, 0, sizeof free_hint);
    memset(empty_hint, 0, sizeof empty_hint);
    begin(1, 1, false);
    for (; size >= 4; data += 4, size -= 4) {
        act(data);
        check();
    }
    return 0;
}

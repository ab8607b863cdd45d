// fuzz_remote.c: remote bitmaps, tokens and inboxes, step by step in one thread, against sets.
//
// Input: records of three bytes: what to do, and two numbers for it. The order of steps is the
// input's: a freer may mark now and notify much later, in another life of the slab. What threads do
// to each other's memory is fuzz_sched's.
#include "target.h"
#include "world.h"

#include "../src/remote.h"

#include <string.h>

const char target_name[] = "fuzz_remote";

#define SLABS 4u
#define OWNERS 2u

enum place { OUT, MARKED, FREE };

static struct inbox inboxes[OWNERS];
static unsigned class_index;
static uint32_t blocks; // of each slab
static struct model {
    bool active, token; // the token is taken: by an inbox, or because no life is under way
    unsigned owner;
    unsigned notifiers; // freers that have marked and not yet notified
    enum place place[SLAB_BLOCKS_MAX];
} model[SLABS];
static unsigned queue[OWNERS][SLABS]; // slabs in each inbox, the newest last
static unsigned queued[OWNERS];

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    world_reset();
    return 0;
}

static uint32_t count(const struct model *m, enum place place)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < blocks; i++)
        n += m->place[i] == place;
    return n;
}

static uint32_t harvested(struct model *m)
{
    uint32_t n = count(m, MARKED);
    for (uint32_t i = 0; i < blocks; i++)
        if (m->place[i] == MARKED)
            m->place[i] = FREE;
    return n;
}

static void check(unsigned i)
{
    const struct slab *s = hak_slab_at(i);
    const struct model *m = &model[i];
    target_must(hak_remote_count(s) == count(m, MARKED), "another number of blocks is marked");
    if (!m->active)
        return;
    target_must(own_load(&s->free_blocks) == count(m, FREE), "another number of blocks is free");
    target_must(hak_slab_ok(s), "the slab's own check fails");
    for (unsigned o = 0; o < OWNERS; o++)
        target_must(hak_remote_is_owner(s, &inboxes[o]) == (o == m->owner),
                    "another heap is the owner");
}

// ---- what can be done ----

static void begin(unsigned i, unsigned owner)
{
    struct slab *s = hak_slab_at(i);
    struct model *m = &model[i];
    static void *out[SLAB_BLOCKS_MAX];
    if (m->active)
        return;
    hak_slab_begin(s, class_index, 1, true);
    hak_remote_begin(s, &inboxes[owner]);
    target_must(hak_slab_take(s, out, SLAB_BLOCKS_MAX) == blocks, "a new slab is not whole");
    m->active = true;
    m->token = false;
    m->owner = owner;
    for (uint32_t b = 0; b < blocks; b++)
        m->place[b] = OUT;
}

// A freer marks blocks of a word that are out, or were marked already: a mistake of the user.
static void mark(unsigned i, unsigned word, uint64_t bits)
{
    struct slab *s = hak_slab_at(i);
    struct model *m = &model[i];
    uint64_t twice = 0, chosen = 0;
    if (!m->active)
        return;
    word %= hak_slab_words(s);
    for (uint32_t b = 0; b < 64 && word * 64 + b < blocks; b++) {
        enum place *place = &m->place[word * 64 + b];
        if (!(bits >> b & 1) || *place == FREE)
            continue;
        chosen |= UINT64_C(1) << b;
        twice |= (uint64_t)(*place == MARKED) << b;
        *place = MARKED;
    }
    target_must(hak_remote_mark(s, word, chosen) == twice, "other blocks were marked already");
    m->notifiers += chosen != 0;
}

// The notification of an earlier mark, maybe in a later life.
static void notify(unsigned i)
{
    struct model *m = &model[i];
    if (m->notifiers == 0)
        return;
    m->notifiers--;
    hak_remote_notify(hak_slab_at(i));
    if (m->token)
        return;
    m->token = true;
    queue[m->owner][queued[m->owner]++] = i;
}

static void drain(unsigned owner)
{
    struct slab *s = hak_remote_take_all(&inboxes[owner]), *next;
    while (queued[owner] != 0) {
        unsigned i = queue[owner][--queued[owner]];
        target_must(s == hak_slab_at(i), "an inbox has another slab than the model's");
        target_must(hak_remote_settle(s, &next) == harvested(&model[i]),
                    "a drain brought other blocks");
        model[i].token = false;
        s = next;
    }
    target_must(s == NULL, "an inbox has more slabs than the model's");
}

// The owner, or who sweeps it, tries to take the token: for another owner, or for the end.
static void hold(unsigned i, unsigned owner, bool ends)
{
    struct slab *s = hak_slab_at(i);
    struct model *m = &model[i];
    if (!m->active || (ends && count(m, FREE) != blocks))
        return;
    target_must(hak_remote_try_hold(s) == !m->token,
                "the token was taken or not, unlike the model");
    if (m->token)
        return;
    if (ends) {
        hak_slab_end(s);
        m->active = false;
        m->token = true;
        return;
    }
    m->owner = owner;
    target_must(hak_remote_adopt(s, &inboxes[owner]) == harvested(m),
                "an adoption brought other blocks");
}

// The owner's own frees.
static void give(unsigned i, unsigned word, uint64_t bits)
{
    struct slab *s = hak_slab_at(i);
    struct model *m = &model[i];
    uint64_t chosen = 0;
    if (!m->active)
        return;
    word %= hak_slab_words(s);
    for (uint32_t b = 0; b < 64 && word * 64 + b < blocks; b++)
        if ((bits >> b & 1) && m->place[word * 64 + b] == OUT) {
            chosen |= UINT64_C(1) << b;
            m->place[word * 64 + b] = FREE;
        }
    target_must(hak_slab_give(s, word, chosen) == 0, "a block that is out was free");
}

static void act(const uint8_t *record)
{
    unsigned i = record[1] % SLABS, owner = record[1] / SLABS % OWNERS, word = record[1] / 8;
    uint64_t bits = record[0] & 128  ? UINT64_MAX
                    : record[0] & 64 ? record[2] * UINT64_C(0x0101010101010101)
                                     : UINT64_C(1) << record[2] % 64;
    switch (record[0] % 8) {
    case 0:
    case 1:
        mark(i, word, bits);
        break;
    case 2:
    case 3:
        notify(i);
        break;
    case 4:
        drain(owner);
        break;
    case 5:
        hold(i, owner, (record[2] & 1) != 0);
        break;
    case 6:
        begin(i, owner);
        break;
    default:
        give(i, word, bits);
    }
    check(i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return -1;
    world_reset();
    hak_classes_start((size_t)128 << 10);
    target_must(hak_arena_start(2 * SUPERSLAB_SIZE) && hak_arena_commit(0, 1), "no arena");
    memset(inboxes, 0, sizeof inboxes);
    memset(model, 0, sizeof model);
    memset(queued, 0, sizeof queued);
    class_index = hak_class_of(data[0] % 4 * 100 + 16);
    blocks = (uint32_t)(UNIT_SIZE / hak_class_bytes(class_index));
    for (unsigned i = 0; i < SLABS; i++)
        begin(i, i % OWNERS);
    for (data++, size--; size >= 3; data += 3, size -= 3)
        act(data);
    return 0;
}

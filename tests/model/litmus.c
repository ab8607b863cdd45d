// litmus.c: the model of memory against the classic small programs, exhaustively.
//
// Each test is a table of at most four threads of at most four operations on four cells. All of
// its executions are run; the outcome of interest must be seen, or never be seen, as C11 (and the
// two limits of the model) say. Both directions can fail: a model that is too weak shows what is
// forbidden, one that is too strong hides what is allowed.
//
// usage: litmus [name...]     prints one line per test; status 1 if one is not as expected.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explore.h"

enum { RLX = 0, ACQ = ORDER_ACQUIRE, REL = ORDER_RELEASE, AR = ACQ | REL, SC = AR | ORDER_SC };
enum { X, Y, Z, CELLS };
enum { THREADS = 4, STEPS = 4, REGISTERS = 4 };
enum { END, STORE, LOAD, ADD, FENCE, CAS }; // CAS: strong, from 0 to value; register 1 = success

struct step {
    int what, cell, order, value; // LOAD, ADD and CAS: `value` is followed by the register
    int reg;
};

#define W(cell, order, value)        \
    {                                \
        STORE, cell, order, value, 0 \
    }
#define R(cell, order, reg)       \
    {                             \
        LOAD, cell, order, 0, reg \
    }
#define RMW(cell, order, value, reg) \
    {                                \
        ADD, cell, order, value, reg \
    }
#define C(cell, order, value, reg)   \
    {                                \
        CAS, cell, order, value, reg \
    }
#define F(order)              \
    {                         \
        FENCE, 0, order, 0, 0 \
    }

struct litmus {
    const char *name;
    bool seen; // the outcome of interest
    const char *note;
    int registers[REGISTERS]; // the outcome; -1: any
    int finals[CELLS];
    struct step threads[THREADS][STEPS];
};

#define ANY        \
    {              \
        -1, -1, -1 \
    }

static const struct litmus tests[] = {
    { "SB rlx",
      true,
      "",
      { 0, 0, -1, -1 },
      ANY,
      { { W(X, RLX, 1), R(Y, RLX, 0) }, { W(Y, RLX, 1), R(X, RLX, 1) } } },
    { "SB rel/acq",
      true,
      "",
      { 0, 0, -1, -1 },
      ANY,
      { { W(X, REL, 1), R(Y, ACQ, 0) }, { W(Y, REL, 1), R(X, ACQ, 1) } } },
    { "SB sc",
      false,
      "",
      { 0, 0, -1, -1 },
      ANY,
      { { W(X, SC, 1), R(Y, SC, 0) }, { W(Y, SC, 1), R(X, SC, 1) } } },
    { "SB sc, one load acq",
      true,
      "",
      { 0, 0, -1, -1 },
      ANY,
      { { W(X, SC, 1), R(Y, SC, 0) }, { W(Y, SC, 1), R(X, ACQ, 1) } } },
    { "SB sc, one store rel",
      true,
      "",
      { 0, 0, -1, -1 },
      ANY,
      { { W(X, REL, 1), R(Y, SC, 0) }, { W(Y, SC, 1), R(X, SC, 1) } } },
    { "SB rlx + sc fences",
      false,
      "",
      { 0, 0, -1, -1 },
      ANY,
      { { W(X, RLX, 1), F(SC), R(Y, RLX, 0) }, { W(Y, RLX, 1), F(SC), R(X, RLX, 1) } } },
    { "SB rlx + one sc fence",
      true,
      "",
      { 0, 0, -1, -1 },
      ANY,
      { { W(X, RLX, 1), F(SC), R(Y, RLX, 0) }, { W(Y, RLX, 1), R(X, RLX, 1) } } },
    { "SB rlx + acq_rel fences",
      true,
      "",
      { 0, 0, -1, -1 },
      ANY,
      { { W(X, RLX, 1), F(AR), R(Y, RLX, 0) }, { W(Y, RLX, 1), F(AR), R(X, RLX, 1) } } },
    { "SB by updates, acq_rel",
      true,
      "",
      { 0, 0, -1, -1 },
      ANY,
      { { RMW(X, AR, 1, 2), R(Y, ACQ, 0) }, { RMW(Y, AR, 1, 3), R(X, ACQ, 1) } } },
    { "SB read by updates",
      false,
      "an update reads the newest store",
      { 0, 0, -1, -1 },
      ANY,
      { { W(X, RLX, 1), RMW(Y, RLX, 0, 0) }, { W(Y, RLX, 1), RMW(X, RLX, 0, 1) } } },
    { "MP rlx",
      true,
      "",
      { 1, 0, -1, -1 },
      ANY,
      { { W(X, RLX, 1), W(Y, RLX, 1) }, { R(Y, RLX, 0), R(X, RLX, 1) } } },
    { "MP rel/rlx",
      true,
      "",
      { 1, 0, -1, -1 },
      ANY,
      { { W(X, RLX, 1), W(Y, REL, 1) }, { R(Y, RLX, 0), R(X, RLX, 1) } } },
    { "MP rlx/acq",
      true,
      "",
      { 1, 0, -1, -1 },
      ANY,
      { { W(X, RLX, 1), W(Y, RLX, 1) }, { R(Y, ACQ, 0), R(X, RLX, 1) } } },
    { "MP rel/acq",
      false,
      "",
      { 1, 0, -1, -1 },
      ANY,
      { { W(X, RLX, 1), W(Y, REL, 1) }, { R(Y, ACQ, 0), R(X, RLX, 1) } } },
    { "MP fences",
      false,
      "",
      { 1, 0, -1, -1 },
      ANY,
      { { W(X, RLX, 1), F(REL), W(Y, RLX, 1) }, { R(Y, RLX, 0), F(ACQ), R(X, RLX, 1) } } },
    { "MP release fence only",
      true,
      "",
      { 1, 0, -1, -1 },
      ANY,
      { { W(X, RLX, 1), F(REL), W(Y, RLX, 1) }, { R(Y, RLX, 0), R(X, RLX, 1) } } },
    { "MP acquire fence only",
      true,
      "",
      { 1, 0, -1, -1 },
      ANY,
      { { W(X, RLX, 1), W(Y, RLX, 1) }, { R(Y, RLX, 0), F(ACQ), R(X, RLX, 1) } } },
    { "MP rlx, read by an update",
      true,
      "newest is not ordered",
      { 1, 0, -1, -1 },
      ANY,
      { { W(X, RLX, 1), W(Y, RLX, 1) }, { RMW(Y, RLX, 0, 0), R(X, RLX, 1) } } },
    { "MP through a relaxed update",
      false,
      "release sequence",
      { 2, 0, -1, -1 },
      ANY,
      { { W(X, RLX, 1), W(Y, REL, 1) }, { RMW(Y, RLX, 1, 2) }, { R(Y, ACQ, 0), R(X, RLX, 1) } } },
    { "MP through a foreign store",
      true,
      "it ends the release sequence",
      { 2, 0, 1, -1 },
      ANY,
      { { W(X, RLX, 1), W(Y, REL, 1) },
        { R(Y, RLX, 2), W(Y, RLX, 2) },
        { R(Y, ACQ, 0), R(X, RLX, 1) } } },
    { "MP through own relaxed store",
      true,
      "C++20: it ends the release sequence",
      { 2, 0, -1, -1 },
      ANY,
      { { W(X, RLX, 1), W(Y, REL, 1), W(Y, RLX, 2) }, { R(Y, ACQ, 0), R(X, RLX, 1) } } },
    { "MP failed cas, relaxed",
      true,
      "",
      { 1, 0, 0, -1 },
      ANY,
      { { W(X, RLX, 1), W(Y, REL, 1) }, { C(Y, REL, 2, 2), R(Y, RLX, 0), R(X, RLX, 1) } } },
    { "MP failed cas, acquire",
      false,
      "",
      { 1, 0, 0, -1 },
      ANY,
      { { W(X, RLX, 1), W(Y, REL, 1) }, { C(Y, AR, 2, 2), R(Y, RLX, 0), R(X, RLX, 1) } } },
    { "WRC rel/acq",
      false,
      "",
      { 1, 1, 0, -1 },
      ANY,
      { { W(X, REL, 1) }, { R(X, ACQ, 0), W(Y, REL, 1) }, { R(Y, ACQ, 1), R(X, RLX, 2) } } },
    { "WRC rlx",
      true,
      "",
      { 1, 1, 0, -1 },
      ANY,
      { { W(X, RLX, 1) }, { R(X, RLX, 0), W(Y, RLX, 1) }, { R(Y, RLX, 1), R(X, RLX, 2) } } },
    { "IRIW rlx",
      true,
      "",
      { 1, 0, 1, 0 },
      ANY,
      { { W(X, RLX, 1) },
        { W(Y, RLX, 1) },
        { R(X, RLX, 0), R(Y, RLX, 1) },
        { R(Y, RLX, 2), R(X, RLX, 3) } } },
    { "IRIW rel/acq",
      true,
      "",
      { 1, 0, 1, 0 },
      ANY,
      { { W(X, REL, 1) },
        { W(Y, REL, 1) },
        { R(X, ACQ, 0), R(Y, ACQ, 1) },
        { R(Y, ACQ, 2), R(X, ACQ, 3) } } },
    { "IRIW sc",
      false,
      "",
      { 1, 0, 1, 0 },
      ANY,
      { { W(X, SC, 1) },
        { W(Y, SC, 1) },
        { R(X, SC, 0), R(Y, SC, 1) },
        { R(Y, SC, 2), R(X, SC, 3) } } },
    { "IRIW sc stores, acq loads",
      true,
      "",
      { 1, 0, 1, 0 },
      ANY,
      { { W(X, SC, 1) },
        { W(Y, SC, 1) },
        { R(X, ACQ, 0), R(Y, ACQ, 1) },
        { R(Y, ACQ, 2), R(X, ACQ, 3) } } },
    { "IRIW sc fences",
      false,
      "",
      { 1, 0, 1, 0 },
      ANY,
      { { W(X, RLX, 1) },
        { W(Y, RLX, 1) },
        { R(X, RLX, 0), F(SC), R(Y, RLX, 1) },
        { R(Y, RLX, 2), F(SC), R(X, RLX, 3) } } },
    { "CoRR rlx",
      false,
      "",
      { 2, 1, -1, -1 },
      ANY,
      { { W(X, RLX, 1), W(X, RLX, 2) }, { R(X, RLX, 0), R(X, RLX, 1) } } },
    { "CoRR rlx, stale first",
      true,
      "",
      { 1, 2, -1, -1 },
      ANY,
      { { W(X, RLX, 1), W(X, RLX, 2) }, { R(X, RLX, 0), R(X, RLX, 1) } } },
    { "CoRR two readers",
      false,
      "one order of stores for all",
      { 1, 2, 2, 1 },
      ANY,
      { { W(X, RLX, 1) },
        { W(X, RLX, 2) },
        { R(X, RLX, 0), R(X, RLX, 1) },
        { R(X, RLX, 2), R(X, RLX, 3) } } },
    { "CoWR rlx",
      false,
      "",
      { 0, -1, -1, -1 },
      ANY,
      { { W(X, RLX, 1), R(X, RLX, 0) }, { W(X, RLX, 2) } } },
    { "CoRW rlx",
      false,
      "",
      { 2, -1, -1, -1 },
      { 2, -1, -1 },
      { { R(X, RLX, 0), W(X, RLX, 1) }, { W(X, RLX, 2) } } },
    { "updates are atomic",
      false,
      "",
      { 0, 0, -1, -1 },
      ANY,
      { { RMW(X, RLX, 1, 0) }, { RMW(X, RLX, 1, 1) } } },
    { "cas: one winner",
      false,
      "",
      { 1, 1, -1, -1 },
      ANY,
      { { C(X, RLX, 1, 0) }, { C(X, RLX, 2, 1) } } },
    { "S rel/acq",
      false,
      "",
      { 1, -1, -1, -1 },
      { 2, -1, -1 },
      { { W(X, RLX, 2), W(Y, REL, 1) }, { R(Y, ACQ, 0), W(X, RLX, 1) } } },
    { "LB rlx",
      false,
      "LIMIT: C11 allows it, the model cannot",
      { 1, 1, -1, -1 },
      ANY,
      { { R(X, RLX, 0), W(Y, RLX, 1) }, { R(Y, RLX, 1), W(X, RLX, 1) } } },
    { "LB rel/acq",
      false,
      "",
      { 1, 1, -1, -1 },
      ANY,
      { { R(X, ACQ, 0), W(Y, REL, 1) }, { R(Y, ACQ, 1), W(X, REL, 1) } } },
    { "LB rlx, one rel/acq",
      false,
      "",
      { 1, 1, -1, -1 },
      ANY,
      { { R(X, ACQ, 0), W(Y, RLX, 1) }, { R(Y, RLX, 1), W(X, REL, 1) } } },
    { "2+2W rlx",
      false,
      "LIMIT: C11 allows it, the model cannot",
      { -1, -1, -1, -1 },
      { 1, 1, -1 },
      { { W(X, RLX, 1), W(Y, RLX, 2) }, { W(Y, RLX, 1), W(X, RLX, 2) } } },
    { "2+2W rel",
      false,
      "LIMIT: C11 allows it, the model cannot",
      { -1, -1, -1, -1 },
      { 1, 1, -1 },
      { { W(X, REL, 1), W(Y, REL, 2) }, { W(Y, REL, 1), W(X, REL, 2) } } },
    { "2+2W sc",
      false,
      "",
      { -1, -1, -1, -1 },
      { 1, 1, -1 },
      { { W(X, SC, 1), W(Y, SC, 2) }, { W(Y, SC, 1), W(X, SC, 2) } } },
    { "2+2W rlx, in order",
      true,
      "",
      { -1, -1, -1, -1 },
      { 2, 1, -1 },
      { { W(X, RLX, 1), W(Y, RLX, 2) }, { W(Y, RLX, 1), W(X, RLX, 2) } } },
};

static const struct litmus *test;
static struct sched_site sites[THREADS][STEPS];
static uint32_t cells[CELLS];
static int registers[REGISTERS];
static bool outcome_seen;

static uint32_t prepare_sites(void)
{
    static const uint8_t kinds[] = { EVENT_NONE,   EVENT_STORE, EVENT_LOAD,
                                     EVENT_UPDATE, EVENT_FENCE, EVENT_CAS_STRONG };
    static const char *const names[] = { "x", "y", "z" };
    uint32_t threads = 0;
    for (uint32_t t = 0; t < THREADS; t++) {
        for (uint32_t i = 0; i < STEPS && test->threads[t][i].what != END; i++) {
            const struct step *s = &test->threads[t][i];
            int order = s->order;
            if (s->what == LOAD)
                order &= ~REL;
            if (s->what == STORE)
                order &= ~ACQ;
            sites[t][i] = (struct sched_site){
                .name = s->what == FENCE ? "fence" : names[s->cell],
                .kind = kinds[s->what],
                .order = (uint8_t)order,
                .failure_order = (uint8_t)(order & ACQ),
                .bytes = 4,
            };
            threads = t + 1;
        }
    }
    return threads;
}

static void reset(void *arg)
{
    (void)arg;
    memset(cells, 0, sizeof cells);
    for (int i = 0; i < REGISTERS; i++)
        registers[i] = -2;
}

static void body(void *arg, uint32_t t)
{
    (void)arg;
    for (uint32_t i = 0; i < STEPS && test->threads[t][i].what != END; i++) {
        const struct step *s = &test->threads[t][i];
        const struct sched_site *at = &sites[t][i];
        uint32_t *cell = &cells[s->cell];
        uint64_t expected = 0;
        switch (s->what) {
        case STORE:
            sched_store(at, cell, (uint64_t)s->value);
            break;
        case LOAD:
            registers[s->reg] = (int)sched_load(at, cell);
            break;
        case ADD:
            registers[s->reg] = (int)sched_update(at, cell, UPDATE_ADD, (uint64_t)s->value);
            break;
        case CAS:
            registers[s->reg] = sched_cas(at, cell, &expected, (uint64_t)s->value);
            break;
        default:
            sched_fence(at);
        }
    }
}

static const char *note_outcome(void *arg)
{
    (void)arg;
    bool match = true;
    for (int i = 0; i < REGISTERS; i++)
        match &= test->registers[i] == -1 || test->registers[i] == registers[i];
    for (int i = 0; i < CELLS; i++)
        match &= test->finals[i] == -1 || test->finals[i] == (int)cells[i];
    outcome_seen |= match;
    return NULL;
}

// Every search must agree: without reduction (with four threads only up to three preemptions), with
// reduction, and with reduction and a bound that is never reached.
static bool run_test(void)
{
    static struct strategy_search search;
    struct sched_program program = { .name = test->name,
                                     .threads = prepare_sites(),
                                     .body = body,
                                     .steps_max = 1000,
                                     .frozen_thread = SCHED_NOBODY };
    struct experiment e = {
        .program = &program, .setup = reset, .check = note_outcome, .executions_max = 10000000
    };
    const struct {
        uint32_t bound;
        bool reduce;
    } modes[] = {
        { program.threads == 4 ? 3 : SEARCH_UNBOUNDED, false },
        { SEARCH_UNBOUNDED, true },
        { 8, true },
    };
    bool ok = true;
    printf("%-32s %-5s", test->name, test->seen ? "seen" : "never");
    for (unsigned i = 0; i < 3; i++) {
        struct experiment_result result;
        outcome_seen = false;
        strategy_search_init(&search, modes[i].bound, modes[i].reduce);
        run_experiment(&e, &search.base, &result);
        bool good = result.complete && result.failures == 0 && outcome_seen == test->seen;
        printf(" %8llu%s", (unsigned long long)result.executions, good ? " " : "!");
        ok &= good;
    }
    printf("  %s%s%s\n", ok ? "ok" : "FAIL", test->note[0] ? "  " : "", test->note);
    return ok;
}

int main(int argc, char **argv)
{
    unsigned passed = 0, failed = 0;
    printf("%-32s %-5s %9s %9s %9s  (executions: all, reduced, reduced and bounded)\n", "litmus",
           "is", "all", "DPOR", "BPOR");
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        bool wanted = argc < 2;
        for (int a = 1; a < argc; a++)
            wanted |= strstr(tests[i].name, argv[a]) != NULL;
        if (!wanted)
            continue;
        test = &tests[i];
        if (run_test())
            passed++;
        else
            failed++;
    }
    printf("litmus: %u passed, %u failed\n", passed, failed);
    if (passed + failed == 0) {
        fprintf(stderr, "litmus: no test matches\n");
        return 2;
    }
    return failed != 0;
}

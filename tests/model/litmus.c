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

#include "litmus_tests.h"

static const struct litmus *test;
static struct sched_site sites[THREADS][STEPS];
static uint32_t cells[CELLS];
static int registers[REGISTERS];
static bool outcome_seen;

static uint32_t prepare_sites(void)
{
    static const uint8_t kinds[] = { EVENT_NONE,  EVENT_STORE,      EVENT_LOAD,     EVENT_UPDATE,
                                     EVENT_FENCE, EVENT_CAS_STRONG, EVENT_CAS_WEAK, EVENT_YIELD };
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
                .name = s->what == FENCE  ? "fence"
                        : s->what == HINT ? "hint"
                                          : names[s->cell],
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
        case CAS_WEAK:
            registers[s->reg] = sched_cas(at, cell, &expected, (uint64_t)s->value);
            break;
        case HINT:
            sched_yield_point(at);
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
    for (unsigned i = 0; i < litmus_count; i++) {
        bool wanted = argc < 2;
        for (int a = 1; a < argc; a++)
            wanted |= strstr(litmus_tests[i].name, argv[a]) != NULL;
        if (!wanted)
            continue;
        test = &litmus_tests[i];
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

// protocol.c: the allocator's protocols as small scenarios, every execution within a bound.
//
// Each scenario is a few threads that call the functions of src/ as they are. The search runs every
// schedule and every value that a load may return. Bound "all": no bound; of executions that differ
// only in the order of events that do not conflict, one is run. A number: so many preemptions at
// most, and no reduction, because a bounded reduced search may leave out executions around locks. A
// scenario that cannot fail proves nothing: `protocol weaken` makes one memory order after the
// other relaxed and shows which scenario falls, and after how many executions.
//
// Plain data cannot be stale in this model, so what an order publishes is shown by payload cells
// that the scenario itself writes and reads with relaxed order.
//
// usage: protocol [--markdown] [name...]     status 1 if a scenario fails or is not complete
//        protocol weaken [site...]           a line per site that is not relaxed; status 0
//        protocol sample                     some executions by chance; status 1 if one fails
//        protocol reduction [name...]        whether a reduced search misses anything that one
//                                            without reduction sees; status 1 if so
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <hakmem.h>

#include "explore.h"
#include "process.h"
#include "scenarios.h"
#include "weaken.h"

#define EXECUTIONS_MAX UINT64_C(30000000)
#define WEAKEN_EXECUTIONS 4000u
#define BASELINE_EXECUTIONS 300u // of each strategy, to see that nothing falls by itself

static struct strategy_search search;

// All of them, in order; NULL behind the last.
static const struct scenario *scenario_at(unsigned i)
{
    static const struct scenario *const lists[] = { protocol_scenarios, whole_scenarios,
                                                    ending_scenarios, lock_scenarios,
                                                    watched_scenarios };
    for (unsigned l = 0; l < sizeof lists / sizeof lists[0]; l++)
        for (const struct scenario *s = lists[l]; s->name != NULL; s++)
            if (i-- == 0)
                return s;
    return NULL;
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static struct sched_program program_of(const struct scenario *s)
{
    return (struct sched_program){ .name = s->name,
                                   .threads = s->threads,
                                   .body = s->body,
                                   .steps_max = 2000,
                                   .frozen_thread = SCHED_NOBODY };
}

static const struct scenario *freezing;
static bool thread_0_froze; // in some execution

static const char *check_frozen(void *arg)
{
    thread_0_froze |= sched_frozen() & 1;
    return freezing->check(arg);
}

static bool is_good(const struct experiment_result *r)
{
    return r->complete && r->failures == 0 && r->long_ones == 0;
}

static void explore(const struct scenario *s, struct sched_program *program,
                    struct experiment_result *r)
{
    struct experiment e = {
        .program = program, .setup = s->setup, .check = s->check, .executions_max = EXECUTIONS_MAX
    };
    if (s->freezes)
        e.check = check_frozen;
    freezing = s;
    strategy_search_init(&search, s->bound, s->bound == SEARCH_UNBOUNDED);
    run_experiment(&e, &search.base, r);
}

// Thread 0 stops at its first step, at its second, ... until no execution has as many.
static void explore_frozen(const struct scenario *s, struct sched_program *program,
                           struct experiment_result *r)
{
    struct experiment_result sum = { .complete = true };
    program->frozen_thread = 0;
    do {
        program->frozen_step++;
        thread_0_froze = false;
        explore(s, program, r);
        r->executions += sum.executions;
        r->pruned += sum.pruned;
        r->steps_max = r->steps_max > sum.steps_max ? r->steps_max : sum.steps_max;
        sum = *r;
    } while (is_good(r) && thread_0_froze);
}

static bool run_scenario(const struct scenario *s, bool markdown)
{
    struct sched_program program = program_of(s);
    struct experiment_result r;
    char bound[16];
    double begin = now_s();
    (s->freezes ? explore_frozen : explore)(s, &program, &r);
    bool ok = is_good(&r);
    snprintf(bound, sizeof bound, s->bound == SEARCH_UNBOUNDED ? "all" : "%u", s->bound);
    printf(markdown ? "| %s | %s | %u | %s | %" PRIu64 " | %u | %.1f | %s |\n"
                    : "%-28s %-58s %u %4s %10" PRIu64 " %5u %7.1f  %s\n",
           s->name, s->what, s->threads, bound, r.executions + r.pruned, r.steps_max,
           now_s() - begin, ok ? "ok" : "FAIL");
    fflush(stdout);
    if (r.failures != 0)
        sched_print_timeline(&program, &r.report, stdout);
    else if (r.long_ones != 0)
        printf("  %" PRIu64 " executions were cut by fairness: not exhaustive\n", r.long_ones);
    else if (!r.complete)
        printf("  more than %" PRIu64 " executions: not exhaustive\n", EXECUTIONS_MAX);
    return ok;
}

// What falls_after is doing, for who dies of a signal meanwhile.
static struct {
    const char *site, *scenario, *strategy;
    struct experiment_result result;
} trying;

// Executions until a scenario fails: by chance first, then in order.
static uint64_t falls_after(const struct scenario *s, uint64_t executions, const char **how)
{
    static struct strategy_pos pos;
    static struct strategy_random walk;
    struct sched_program program = program_of(s);
    struct experiment e = {
        .program = &program, .setup = s->setup, .check = s->check, .executions_max = executions
    };
    strategy_pos_init(&pos, 1);
    strategy_random_init(&walk, 1);
    strategy_search_init(&search, s->bound < 2 ? s->bound : 2, true);
    struct strategy *const strategies[] = { &pos.base, &walk.base, &search.base };
    for (unsigned i = 0; i < 3; i++) {
        trying.scenario = s->name;
        trying.strategy = *how = strategies[i]->name;
        run_experiment(&e, strategies[i], &trying.result);
        if (trying.result.failures != 0)
            return trying.result.executions + trying.result.pruned;
    }
    return 0;
}

static bool is_wanted(const char *name, int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        if (strstr(name, argv[i]) != NULL)
            return true;
    return argc == 0;
}

static uint64_t reaching[SCHED_SITES_MAX]; // the scenarios that execute a site: bit per scenario
static uint8_t order_of[SCHED_SITES_MAX];

// All scenarios, with all orders in force, must pass. Those with a thread that stops have the same
// bodies as others.
static bool note_reached(void)
{
    const char *how = "";
    for (unsigned i = 0; scenario_at(i) != NULL; i++) {
        memset(sched_site_used, 0, sizeof sched_site_used);
        if (!scenario_at(i)->freezes && falls_after(scenario_at(i), BASELINE_EXECUTIONS, &how)) {
            printf("%s fails with all orders in force (%s)\n", scenario_at(i)->name, how);
            return false;
        }
        for (uint32_t site = 0; site < weaken_count(); site++)
            if (sched_site_used[site + 1] != 0) {
                reaching[site] |= UINT64_C(1) << i;
                order_of[site] |= sched_site_used[site + 1];
            }
    }
    return true;
}

// Statuses of a process that tries one site.
enum { FELL = 40, SURVIVED = 41 };

// A weakened order that ends in a wild pointer.
static void fall_by_signal(int number)
{
    char line[200];
    (void)number;
    int n = snprintf(line, sizeof line, "%-24s %-28s %6" PRIu64 " %s\n", trying.site,
                     trying.scenario, trying.result.executions + trying.result.pruned + 1,
                     trying.strategy);
    _exit(write(STDOUT_FILENO, line, (size_t)n) == n ? FELL : 2);
}

// The first of the scenarios that falls within so many executions of a strategy is printed.
static bool fall_within(uint64_t executions, const char *name, uint64_t scenarios)
{
    const char *how;
    for (unsigned i = 0; scenario_at(i) != NULL; i++) {
        uint64_t after = scenarios >> i & 1 ? falls_after(scenario_at(i), executions, &how) : 0;
        if (after != 0) {
            printf("%-24s %-28s %6" PRIu64 " %s\n", name, scenario_at(i)->name, after, how);
            return true;
        }
    }
    return false;
}

// What falls with the site weakened is printed; false: nothing does. Most sites need a few
// executions of the right scenario: so all have a short turn before each has a long one.
static bool fall(const char *name, uint64_t scenarios)
{
    trying.site = name;
    signal(SIGSEGV, fall_by_signal);
    weaken(name);
    if (fall_within(WEAKEN_EXECUTIONS / 20, name, scenarios) ||
        fall_within(WEAKEN_EXECUTIONS, name, scenarios))
        return true;
    printf("%-24s survives\n", name);
    return false;
}

// In a process of its own, because it may die. It is this program anew: ThreadSanitizer is blind
// behind a fork.
static bool falls_in_child(uint32_t site, const char *name)
{
    int status;
    char scenarios[24];
    snprintf(scenarios, sizeof scenarios, "%" PRIx64, reaching[site]);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        execl("/proc/self/exe", "protocol", "weaken-one", name, scenarios, (char *)NULL);
    if (child <= 0 || waitpid(child, &status, 0) != child) {
        perror("protocol: cannot start itself");
        exit(2);
    }
    if (WIFEXITED(status) && (WEXITSTATUS(status) == FELL || WEXITSTATUS(status) == SURVIVED))
        return WEXITSTATUS(status) == FELL;
    fprintf(stderr, "protocol: %s: the process that tries it ends with status %#x\n", name,
            (unsigned)status);
    exit(2);
}

static int weaken_all(int argc, char **argv)
{
    unsigned needed = 0, survived = 0, unreached = 0;
    if (!note_reached())
        return 1;
    for (uint32_t site = 0; site < weaken_count(); site++) {
        const char *name = weaken_name(site);
        if (!weaken_has_order(site))
            continue;
        if (reaching[site] == 0) {
            unreached++;
            printf("%-24s in no scenario\n", name);
            continue;
        }
        for (const struct weaken_part *p = weaken_parts; p->suffix != NULL; p++) {
            char part[80];
            snprintf(part, sizeof part, "%s%s", name, p->suffix);
            if (!weaken_applies(p, order_of[site]) || !is_wanted(part, argc, argv))
                continue;
            bool falls = falls_in_child(site, part);
            needed += falls;
            survived += !falls;
        }
    }
    printf("orders: %u needed by a scenario, %u survive, %u sites are in no scenario\n", needed,
           survived, unreached);
    return 0;
}

// ---- does the reduction leave anything out? ----

#define SIGNATURES_MAX (1u << 22) // a power of two
#define REDUCTION_EXECUTIONS 10000000u
#define REDUCTION_PREEMPTIONS 3u

// What a thread did, as hashes: up to its last yield, since then, and in the turn before that.
struct deeds {
    uint64_t done, turn, last_turn;
};

static uint64_t mixed(uint64_t h, const struct sched_record *x)
{
    h = (h ^ x->value ^ (uint64_t)x->failed << 60 ^ (uint64_t)x->site->line << 40) *
        UINT64_C(0x9e3779b97f4a7c15);
    return (h ^ h >> 29 ^ x->old) * UINT64_C(0xbf58476d1ce4e5b9);
}

static uint64_t with_turn(const struct deeds *d)
{
    return (d->done ^ d->turn) * UINT64_C(0x9e3779b97f4a7c15) + d->turn;
}

// What each thread read, wrote and met, in its own order: executions that differ in nothing else
// are equivalent, and the reduced search must have run one of each kind. A turn of a waiting loop
// that met what the turn before met does not count: how many there are is a matter of what others
// do that has nothing to do with it.
static uint64_t signature(const struct sched_report *r)
{
    uint64_t sum = 0;
    struct deeds all[SCHED_THREADS_MAX] = { 0 };
    for (uint32_t i = 0; i < r->trace_count; i++) {
        const struct sched_record *x = &r->trace[i];
        struct deeds *d = &all[x->thread];
        d->turn = mixed(d->turn, x);
        if (x->site->kind != EVENT_YIELD)
            continue;
        if (d->turn != d->last_turn)
            d->done = with_turn(d);
        d->last_turn = d->turn;
        d->turn = 0;
    }
    for (uint32_t t = 0; t < SCHED_THREADS_MAX; t++) {
        uint64_t h = with_turn(&all[t]);
        sum += h * (2 * t + 3) ^ h >> 31;
    }
    return sum | 1;
}

static bool insert(uint64_t *set, uint64_t key)
{
    uint32_t i = (uint32_t)(key >> 20) % SIGNATURES_MAX;
    while (set[i] != 0 && set[i] != key)
        i = (i + 1) % SIGNATURES_MAX;
    bool is_new = set[i] == 0;
    set[i] = key;
    return is_new;
}

struct collected {
    uint64_t executions, kinds;
    bool complete;
};

// Runs a search; counts its kinds of executions that are not in `set` yet, and puts them in.
static struct collected collect(const struct scenario *s, uint32_t bound, bool reduce,
                                uint64_t *set)
{
    struct sched_program program = program_of(s);
    static struct sched_report report;
    struct collected c = { 0 };
    strategy_search_init(&search, bound, reduce);
    while (!c.complete && c.executions < REDUCTION_EXECUTIONS) {
        s->setup(NULL);
        if (sched_run(&program, &search.base, &report) != SCHED_PRUNED)
            c.kinds += insert(set, signature(&report));
        c.executions++;
        c.complete = !search.base.end(&search.base);
    }
    return c;
}

static bool check_reduction(const struct scenario *s)
{
    static uint64_t set[SIGNATURES_MAX];
    memset(set, 0, sizeof set);
    struct collected reduced = collect(s, SEARCH_UNBOUNDED, true, set);
    struct collected plain = collect(s, REDUCTION_PREEMPTIONS, false, set);
    printf("%-28s reduced: %" PRIu64 " executions of %" PRIu64
           " kinds; without, %u preemptions: %" PRIu64 " executions, %" PRIu64 " kinds more%s\n",
           s->name, reduced.executions, reduced.kinds, REDUCTION_PREEMPTIONS, plain.executions,
           plain.kinds, reduced.complete && plain.complete ? "" : "; NOT COMPLETE");
    fflush(stdout);
    return plain.kinds == 0 && reduced.complete && plain.complete;
}

static bool check_reductions(int argc, char **argv)
{
    unsigned passed = 0, failed = 0;
    for (unsigned i = 0; scenario_at(i) != NULL; i++) {
        const struct scenario *s = scenario_at(i);
        if (s->bound != SEARCH_UNBOUNDED || !is_wanted(s->name, argc, argv))
            continue;
        bool ok = check_reduction(s);
        passed += ok;
        failed += !ok;
    }
    printf("reduction: %u passed, %u failed\n", passed, failed);
    return failed == 0 && passed != 0;
}

int main(int argc, char **argv)
{
    unsigned passed = 0, failed = 0;
    argc--, argv++;
    if (argc > 0 && strcmp(argv[0], "weaken") == 0)
        return weaken_all(argc - 1, argv + 1);
    if (argc == 1 && strcmp(argv[0], "sample") == 0) {
        if (!note_reached())
            return 1;
        printf("sample: every scenario, %u executions of each strategy: passed\n",
               BASELINE_EXECUTIONS);
        return 0;
    }
    if (argc > 0 && strcmp(argv[0], "reduction") == 0)
        return !check_reductions(argc - 1, argv + 1);
    if (argc == 3 && strcmp(argv[0], "weaken-one") == 0)
        return fall(argv[1], strtoull(argv[2], NULL, 16)) ? FELL : SURVIVED;
    bool markdown = argc > 0 && strcmp(argv[0], "--markdown") == 0;
    if (markdown)
        argc--, argv++;
    printf(markdown
               ? "| %s | %s | %s | %s | %s | %s | %s | %s |\n|---|---|---|---|---|---|---|---|\n"
               : "%-28s %-55s %s %s %s %s %s  %s\n",
           "scenario", "what they do", "threads", "bound", "executions", "steps", "seconds", "");
    for (unsigned i = 0; scenario_at(i) != NULL; i++)
        if (is_wanted(scenario_at(i)->name, argc, argv)) {
            bool ok = run_scenario(scenario_at(i), markdown);
            passed += ok;
            failed += !ok;
        }
    printf("%smodel: %u passed, %u failed\n", markdown ? "\n" : "", passed, failed);
    if (passed + failed == 0) {
        fprintf(stderr, "protocol: no scenario matches\n");
        return 2;
    }
    return failed != 0;
}

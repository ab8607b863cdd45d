// planted.c: the scheduler finds planted bugs, and finds nothing where there is none.
//
// Each program exists in a broken and in a correct form. Every strategy must find the broken one
// within a bound of executions; the failing execution, replayed from its list of choices, must give
// the same hash, twice. The correct form must pass as many executions of each strategy, and all of
// them in an exhaustive search. So a scheduler that never preempts fails here, and so does one that
// invents what C11 forbids.
//
// usage: planted [name...]    prints one line per program; status 1 if one is not as expected.
#include <stdio.h>
#include <string.h>

#include "explore.h"

#define FIND_WITHIN 20000u
#define EXHAUST_WITHIN 3000000u

// A site per line of a program; the order is given where it is used.
#define AT(event, success, failure)                             \
    ({                                                          \
        static struct sched_site at_;                           \
        at_ = (struct sched_site){ .name = __func__,            \
                                   .file = __FILE__,            \
                                   .line = __LINE__,            \
                                   .kind = (event),             \
                                   .order = (uint8_t)(success), \
                                   .failure_order = (failure),  \
                                   .bytes = 4 };                \
        &at_;                                                   \
    })
#define LOAD(cell, order) ((uint32_t)sched_load(AT(EVENT_LOAD, order, 0), cell))
#define STORE(cell, v, order) sched_store(AT(EVENT_STORE, order, 0), cell, v)
#define SWAP(cell, v, order) sched_update(AT(EVENT_UPDATE, order, 0), cell, UPDATE_EXCHANGE, v)
#define ADD(cell, v, order) sched_update(AT(EVENT_UPDATE, order, 0), cell, UPDATE_ADD, v)
#define CAS(cell, expected, v, order)                                                         \
    ({                                                                                        \
        uint64_t e_ = *(expected);                                                            \
        bool ok_ = sched_cas(AT(EVENT_CAS_WEAK, order, (order)&ORDER_ACQUIRE), cell, &e_, v); \
        *(expected) = (uint32_t)e_;                                                           \
        ok_;                                                                                  \
    })

enum { RLX = 0, ACQ = ORDER_ACQUIRE, REL = ORDER_RELEASE, AR = ACQ | REL, SC = AR | ORDER_SC };
enum { NODES = 4 };

static bool broken;
static struct {
    uint32_t head, next[NODES], payload[NODES], owner[NODES]; // 0: no node; node i is i + 1
    uint32_t flag[2], inside, counter, bits, pending, harvested;
    bool signalled, twice;
} g;

static void reset(void *arg)
{
    (void)arg;
    memset(&g, 0, sizeof g);
}

// ---- a queue of many producers and one consumer; broken: the push does not release ----

static void queue(void *arg, uint32_t t)
{
    (void)arg;
    if (t < 2) {
        STORE(&g.payload[t], 7, RLX);
        uint32_t head = LOAD(&g.head, RLX);
        do
            STORE(&g.next[t], head, RLX);
        while (!CAS(&g.head, &head, t + 1, broken ? RLX : REL));
        return;
    }
    for (uint32_t n = SWAP(&g.head, 0, ACQ); n != 0; n = LOAD(&g.next[n - 1], RLX))
        if (LOAD(&g.payload[n - 1], RLX) != 7)
            sched_fail("check", "a node came without its payload");
}

// ---- a stack of free nodes; broken: no tag against the return of the same head (ABA) ----

static void own(uint32_t node)
{
    if (ADD(&g.owner[node], 1, AR) != 0)
        sched_fail("check", "two threads own node %u", node);
}

static uint32_t take_node(void)
{
    uint32_t head = LOAD(&g.head, ACQ);
    while (head & 0xff) {
        uint32_t tag = broken ? 0 : (head >> 8) + 1;
        uint32_t next = LOAD(&g.next[(head & 0xff) - 1], RLX);
        if (CAS(&g.head, &head, next | tag << 8, AR))
            break;
    }
    return head & 0xff;
}

static void give_node(uint32_t node)
{
    ADD(&g.owner[node - 1], (uint32_t)-1, AR);
    uint32_t head = LOAD(&g.head, RLX);
    do
        STORE(&g.next[node - 1], head & 0xff, RLX);
    while (!CAS(&g.head, &head, node | (broken ? 0 : ((head >> 8) + 1) << 8), AR));
}

static void pool_setup(void *arg)
{
    reset(arg);
    g.head = 1;
    g.next[0] = 2;
    g.next[1] = 3;
}

static void pool(void *arg, uint32_t t)
{
    (void)arg;
    uint32_t a = take_node();
    if (a == 0)
        return;
    own(a - 1);
    uint32_t b = take_node();
    if (b != 0)
        own(b - 1);
    if (t == 1)
        give_node(a);
}

// ---- remote bits and a token; broken: harvest before the token is given back ----

static void harvest(void)
{
    if (SWAP(&g.pending, broken ? 1 : 0, AR) == 0)
        return;
    g.harvested |= SWAP(&g.bits, 0, ACQ);
    if (broken)
        SWAP(&g.pending, 0, AR);
}

static void notification(void *arg, uint32_t t)
{
    (void)arg;
    if (t == 2) {
        harvest();
        return;
    }
    ADD(&g.bits, 1u << t, REL);
    SWAP(&g.pending, 1, AR);
}

static const char *nothing_lost(void *arg)
{
    (void)arg;
    return g.pending == 0 && g.bits != 0 ? "bits are set and nobody was told" : NULL;
}

// ---- two flags, mutual exclusion; broken: not sequentially consistent ----

static void dekker(void *arg, uint32_t t)
{
    (void)arg;
    STORE(&g.flag[t], 1, broken ? REL : SC);
    if (LOAD(&g.flag[1 - t], broken ? ACQ : SC) != 0)
        return;
    if (ADD(&g.inside, 1, RLX) != 0)
        sched_fail("check", "both are inside");
}

// ---- a sleeper and a waker; broken: the sleeper's flag and the event pass each other ----

static bool is_signalled(void *arg)
{
    (void)arg;
    return g.signalled;
}

static void wake_up(void *arg, uint32_t t)
{
    (void)arg;
    int order = broken ? RLX : SC;
    STORE(&g.flag[t], 1, order);
    bool other = LOAD(&g.flag[1 - t], order) != 0;
    if (t == 1 && other)
        g.signalled = true;
    if (t == 0 && !other)
        sched_wait(AT(EVENT_WAIT, 0, 0), is_signalled, NULL);
}

// ---- waiting for a flag; broken: it is never set ----

static void spin(void *arg, uint32_t t)
{
    (void)arg;
    if (t == 0 && !broken)
        STORE(&g.flag[0], 1, REL);
    while (t == 1 && LOAD(&g.flag[0], ACQ) == 0)
        sched_yield_point(AT(EVENT_YIELD, 0, 0));
}

// ---- a counter while one thread stops for ever; broken: behind a lock made of a flag ----

static void counting(void *arg, uint32_t t)
{
    (void)arg;
    (void)t;
    if (!broken) {
        ADD(&g.counter, 1, RLX);
        return;
    }
    while (SWAP(&g.flag[0], 1, ACQ) != 0)
        sched_yield_point(AT(EVENT_YIELD, 0, 0));
    STORE(&g.counter, LOAD(&g.counter, RLX) + 1, RLX);
    STORE(&g.flag[0], 0, REL);
}

// ---- a recursion; broken: without bound ----

static uint32_t descend(uint32_t levels)
{
    volatile char frame[512];
    frame[0] = (char)levels;
    return levels == 0 ? 0 : descend(levels - 1) + (uint32_t)frame[0];
}

static void recursion(void *arg, uint32_t t)
{
    (void)arg;
    if (t == LOAD(&g.counter, RLX))
        STORE(&g.counter, descend(broken ? UINT32_MAX : 4), RLX);
}

static const struct planted {
    const char *name;
    enum sched_outcome broken_outcome;
    uint32_t threads;
    void (*body)(void *, uint32_t);
    void (*setup)(void *);
    const char *(*check)(void *);
    uint32_t frozen_thread, frozen_step;
} programs[] = {
    { "queue", SCHED_FAILED, 3, queue, reset, NULL, SCHED_NOBODY, 0 },
    { "pool (ABA)", SCHED_FAILED, 2, pool, pool_setup, NULL, SCHED_NOBODY, 0 },
    { "notification", SCHED_FAILED, 3, notification, reset, nothing_lost, SCHED_NOBODY, 0 },
    { "dekker", SCHED_FAILED, 2, dekker, reset, NULL, SCHED_NOBODY, 0 },
    { "wake-up", SCHED_DEADLOCK, 2, wake_up, reset, NULL, SCHED_NOBODY, 0 },
    { "recursion", SCHED_FAILED, 2, recursion, reset, NULL, SCHED_NOBODY, 0 },
    { "spin", SCHED_LIVELOCK, 2, spin, reset, NULL, SCHED_NOBODY, 0 },
    { "counting", SCHED_STARVED, 3, counting, reset, NULL, 1, 2 },
};

static struct strategy_random walk;
static struct strategy_pct pct;
static struct strategy_pos pos;
static struct strategy_search search;
static struct strategy_bytes bytes;
static struct strategy *const strategies[] = { &walk.base, &pct.base, &pos.base, &bytes.base,
                                               &search.base };
enum { STRATEGIES = 5, SEARCH = 4 };

// As a fuzzer without feedback: random bytes, other ones in each execution.
static void fill_bytes(struct strategy *base, uint32_t threads)
{
    static uint8_t input[64];
    static struct random random = { 1 };
    (void)base, (void)threads;
    for (size_t i = 0; i < sizeof input; i++)
        input[i] = (uint8_t)(random_next(&random) >> 40);
    bytes.bytes = input;
    bytes.count = sizeof input;
    bytes.used = 0;
}

static void init_strategies(uint32_t preemptions_max)
{
    strategy_bytes_init(&bytes, NULL, 0);
    bytes.base.begin = fill_bytes;
    strategy_random_init(&walk, 1);
    strategy_pct_init(&pct, 1, 0, 40);
    strategy_pos_init(&pos, 1);
    strategy_search_init(&search, preemptions_max, true);
}

// The list of choices must bring the execution back, each time.
static bool replays(const struct experiment *e, const struct sched_report *report)
{
    static struct choice choices[LISTED_CHOICES_MAX];
    static struct strategy_listed listed;
    struct experiment_result again;
    uint64_t hash = report->hash;
    uint32_t count = report->choice_count;
    if (count > LISTED_CHOICES_MAX)
        return false;
    memcpy(choices, report->choices, count * sizeof choices[0]);
    struct experiment once = *e;
    once.executions_max = 1;
    strategy_listed_init(&listed, choices, count);
    for (int i = 0; i < 2; i++) {
        run_experiment(&once, &listed.base, &again);
        if (again.report.hash != hash || again.failures != 1)
            return false;
    }
    return true;
}

static bool find(const struct planted *p, struct experiment *e, unsigned strategy)
{
    struct experiment_result r;
    e->executions_max = strategy == SEARCH ? EXHAUST_WITHIN : FIND_WITHIN;
    run_experiment(e, strategies[strategy], &r);
    bool ok = r.failures == 1;
    if (ok && p->check == NULL)
        ok = r.report.outcome == p->broken_outcome;
    ok = ok && replays(e, &r.report);
    printf(" %7llu%s", (unsigned long long)(r.executions + r.pruned), ok ? " " : "!");
    return ok;
}

static bool pass(struct experiment *e, unsigned strategy)
{
    struct experiment_result r;
    e->executions_max = strategy == SEARCH ? EXHAUST_WITHIN : FIND_WITHIN;
    run_experiment(e, strategies[strategy], &r);
    bool ok = r.failures == 0 && (strategy != SEARCH || r.complete);
    if (strategy == SEARCH || !ok)
        printf(" %9llu%s", (unsigned long long)(r.executions + r.pruned), ok ? " " : "!");
    if (r.failures != 0)
        sched_print_timeline(e->program, &r.report, stdout);
    return ok;
}

static bool run_program(const struct planted *p)
{
    struct sched_program program = { .name = p->name,
                                     .threads = p->threads,
                                     .body = p->body,
                                     .steps_max = 300,
                                     .frozen_thread = p->frozen_thread,
                                     .frozen_step = p->frozen_step };
    struct experiment e = { .program = &program, .setup = p->setup, .check = p->check };
    bool ok = true;
    printf("%-14s", p->name);
    for (unsigned i = 0; i < STRATEGIES; i++) {
        init_strategies(2);
        broken = true;
        ok &= find(p, &e, i);
    }
    for (unsigned i = 0; i < STRATEGIES; i++) {
        init_strategies(SEARCH_UNBOUNDED);
        broken = false;
        ok &= pass(&e, i);
    }
    printf("  %s\n", ok ? "ok" : "FAIL");
    return ok;
}

int main(int argc, char **argv)
{
    unsigned passed = 0, failed = 0;
    printf("%-14s executions until the broken form is found                correct form,\n", "");
    printf("%-14s %7s  %7s  %7s  %7s  %7s      exhaustive\n", "program", "random", "pct", "pos",
           "bytes", "search");
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        bool wanted = argc < 2;
        for (int a = 1; a < argc; a++)
            wanted |= strstr(programs[i].name, argv[a]) != NULL;
        if (!wanted)
            continue;
        if (run_program(&programs[i]))
            passed++;
        else
            failed++;
    }
    printf("planted: %u passed, %u failed\n", passed, failed);
    if (passed + failed == 0) {
        fprintf(stderr, "planted: no program matches\n");
        return 2;
    }
    return failed != 0;
}

// explore.c: depth-first search with preemption bound and partial-order reduction.
//
//   nodes   n0 -> n1 -> n2 -> ... one per decision of the execution, thread nodes and value nodes
//   events  what was performed, with vector clocks of the order that conflicts impose
//
// An execution follows the stack of nodes and extends it. At its end the deepest node with another
// alternative takes it, and everything below is dropped.
//
// Invariants: at a thread node, chosen is in backtrack and in enabled; done holds what was explored
// below the node; a thread in sleep need not run before something that conflicts with its event.
// For each pair of conflicting events (i, j) of different threads that are not ordered by events
// between them, the node of i has in backtrack or sleep one of the threads with which an order that
// has j before i can begin, or in backtrack all enabled ones.
//
// Value nodes are never reduced. The set of stores a load may read depends only on its thread and
// on conflicting events, so reduction and values do not disturb each other.
//
// A program that behaves differently on the same path leaks nondeterminism: the execution fails.
#include "explore.h"

#include <string.h>

enum { NONE = 0xffffffff };

static void join(struct vclock *to, const struct vclock *from)
{
    for (uint32_t t = 0; t < SCHED_THREADS_MAX; t++)
        to->at[t] = from->at[t] > to->at[t] ? from->at[t] : to->at[t];
}

static uint32_t *last_on(struct strategy_search *s, const struct event *e)
{
    uintptr_t key = e->site->kind == EVENT_SYSTEM ? 1 : e->address;
    return &s->last_on[(key * UINT64_C(0x9e3779b97f4a7c15)) >> 54];
}

static void search_begin(struct strategy *base, uint32_t threads)
{
    struct strategy_search *s = (struct strategy_search *)base;
    (void)threads;
    s->depth = 0;
    s->preemptions = 0;
    s->sleeping = 0;
    s->event_count = 0;
    s->whole_scan = false;
    memset(s->clocks, 0, sizeof s->clocks);
    memset(s->last_on, 0xff, sizeof s->last_on);
}

static uint32_t cost(const struct search_node *n, uint32_t thread)
{
    return (n->enabled >> n->current & 1) && thread != n->current;
}

static bool within_bound(const struct strategy_search *s, const struct search_node *n,
                         uint32_t thread)
{
    return s->preemptions_max == SEARCH_UNBOUNDED ||
           n->preemptions + cost(n, thread) <= s->preemptions_max;
}

static struct search_node *push(struct strategy_search *s)
{
    if (s->used == SEARCH_DEPTH_MAX)
        sched_fail("harness", "more than %u decisions in one execution", SEARCH_DEPTH_MAX);
    struct search_node *n = &s->nodes[s->used++];
    s->depth = s->used;
    memset(n, 0, sizeof *n);
    return n;
}

// The thread to explore first: the one that goes on by default, unless it is asleep.
static uint32_t first_choice(const struct sched_view *view, uint32_t sleeping)
{
    uint32_t awake = view->enabled & ~sleeping;
    if (awake == 0)
        return SCHED_NOBODY;
    return awake >> view->preferred & 1 ? view->preferred : (uint32_t)__builtin_ctz(awake);
}

static uint32_t search_run(struct strategy *base, const struct sched_view *view)
{
    struct strategy_search *s = (struct strategy_search *)base;
    struct search_node *n;
    if (s->depth < s->used) {
        n = &s->nodes[s->depth++];
        if (n->is_value || n->enabled != view->enabled || n->current != view->current)
            sched_fail("nondeterminism", "decision %u differs between two runs of one schedule",
                       s->depth - 1);
    } else {
        uint32_t pick = first_choice(view, s->sleeping);
        if (pick == SCHED_NOBODY)
            return SCHED_NOBODY;
        n = push(s);
        n->enabled = view->enabled;
        n->current = (uint8_t)view->current;
        n->chosen = (uint8_t)pick;
        n->backtrack = s->reduce ? 1u << pick : view->enabled;
        n->preemptions = s->preemptions;
        n->sleep = s->sleeping;
    }
    s->preemptions += cost(n, n->chosen);
    s->sleeping = n->sleep;
    return n->chosen;
}

static uint32_t search_choose(struct strategy *base, enum choice_kind kind, uint32_t thread,
                              uint32_t local_step, uint32_t n)
{
    struct strategy_search *s = (struct strategy_search *)base;
    (void)kind, (void)thread, (void)local_step;
    struct search_node *node;
    if (s->depth < s->used) {
        node = &s->nodes[s->depth++];
        if (!node->is_value || node->count != n)
            sched_fail("nondeterminism", "value %u differs between two runs of one schedule",
                       s->depth - 1);
    } else {
        node = push(s);
        node->is_value = 1;
        node->count = (uint8_t)n;
    }
    return node->chosen;
}

static void add_at(struct search_node *n, uint32_t thread)
{
    n->backtrack |= n->enabled >> thread & 1 ? 1u << thread : n->enabled;
}

// With a bound: `thread` must also be tried before event `x`, and, as that may cost a preemption
// which the bound forbids, where the run of x's thread began, where it is free.
static void add_bounded(struct strategy_search *s, const struct search_event *x, uint32_t thread)
{
    add_at(&s->nodes[x->node], thread);
    for (uint32_t k = x->node + 1; k-- > 0;) {
        struct search_node *n = &s->nodes[k];
        if (n->is_value)
            continue;
        if (n->current != x->thread) {
            add_at(n, thread);
            return;
        }
    }
}

static bool is_before(const struct search_event *x, const struct vclock *clock)
{
    return clock->at[x->thread] >= x->clock.at[x->thread];
}

// The threads that can begin with what came after event `x` and does not depend on it, and with
// the next event of `thread`, ordered behind `met`, at the end.
static uint32_t initials(const struct strategy_search *s, const struct search_event *x,
                         uint32_t thread, const struct vclock *met)
{
    const struct search_event *first[SCHED_THREADS_MAX] = { NULL };
    const struct search_event *end = &s->events[s->event_count];
    uint32_t mask = 0;
    for (const struct search_event *y = x + 1; y < end; y++)
        if (first[y->thread] == NULL && !is_before(x, &y->clock))
            first[y->thread] = y;
    for (uint32_t t = 0; t < SCHED_THREADS_MAX; t++) {
        const struct vclock *clock = first[t] != NULL ? &first[t]->clock : t == thread ? met : NULL;
        bool begins = clock != NULL;
        for (uint32_t u = 0; begins && u < SCHED_THREADS_MAX; u++)
            begins = u == t || first[u] == NULL || !is_before(first[u], clock);
        mask |= (uint32_t)begins << t;
    }
    return mask;
}

// `thread` goes on with an event that could have come before `x`: one of those with which that
// order can begin must be tried in the place of x. `thread` alone will not do: it may need another
// thread's event first, and be asleep for the order without that one.
static void add_source(struct strategy_search *s, const struct search_event *x, uint32_t thread,
                       const struct vclock *met)
{
    struct search_node *n = &s->nodes[x->node];
    uint32_t begin = initials(s, x, thread, met);
    if (begin & (n->backtrack | n->sleep))
        return;
    begin &= n->enabled;
    n->backtrack |= begin == 0 ? n->enabled : begin & -begin;
}

static bool may_meet(const struct event *earlier, const struct event *later)
{
    // A lock's release and its next acquisition are never both possible.
    return !(later->site->kind == EVENT_LOCK && earlier->site->kind == EVENT_UNLOCK);
}

// Finds the races of `event`, which `thread` performs now. Returns the clock of all before it.
static struct vclock order_event(struct strategy_search *s, const struct event *event,
                                 uint32_t thread)
{
    bool bounded = s->preemptions_max != SEARCH_UNBOUNDED;
    struct vclock before = s->clocks[thread], clock = before, met = before;
    if (event->address == 0 && event->site->kind != EVENT_SYSTEM && !s->whole_scan)
        return clock;
    uint32_t i = s->whole_scan ? s->event_count - 1 : *last_on(s, event);
    while (i != NONE) {
        const struct search_event *x = &s->events[i];
        if (x->thread != thread && event_conflicts(&x->event, event)) {
            if (may_meet(&x->event, event)) {
                if (bounded && !is_before(x, &before))
                    add_bounded(s, x, thread);
                else if (!bounded && !is_before(x, &met))
                    add_source(s, x, thread, &met);
                join(&met, &x->clock);
            }
            join(&clock, &x->clock);
        }
        i = s->whole_scan ? i - 1 : x->previous; // before the first one: NONE
    }
    return clock;
}

static void search_performed(struct strategy *base, const struct sched_view *view, uint32_t thread)
{
    struct strategy_search *s = (struct strategy_search *)base;
    const struct event *event = &view->pending[thread];
    if (!s->reduce || view->fair)
        return;
    if (s->event_count == SEARCH_DEPTH_MAX)
        sched_fail("harness", "more than %u events in one execution", SEARCH_DEPTH_MAX);
    uint8_t kind = event->site->kind;
    if (kind == EVENT_FENCE || kind == EVENT_WAIT)
        s->whole_scan = true;
    struct search_event *e = &s->events[s->event_count];
    e->event = *event;
    e->thread = thread;
    e->node = s->depth - 1;
    struct vclock *clock = &s->clocks[thread];
    *clock = order_event(s, event, thread);
    clock->at[thread]++;
    e->clock = *clock;
    uint32_t *last = last_on(s, event);
    e->previous = *last;
    *last = s->event_count++;
    for (uint32_t m = s->sleeping; m != 0; m &= m - 1) {
        uint32_t t = (uint32_t)__builtin_ctz(m);
        if (t == thread || event_conflicts(&view->pending[t], event))
            s->sleeping &= ~(1u << t);
    }
}

// Moves a thread node to its next alternative; false if there is none.
static bool advance(struct strategy_search *s, struct search_node *n)
{
    n->done |= 1u << n->chosen;
    if (s->preemptions_max == SEARCH_UNBOUNDED && s->reduce)
        n->sleep |= 1u << n->chosen;
    for (uint32_t m = n->backtrack & ~n->done & ~n->sleep; m != 0; m &= m - 1) {
        uint32_t t = (uint32_t)__builtin_ctz(m);
        if (within_bound(s, n, t)) {
            n->chosen = (uint8_t)t;
            return true;
        }
    }
    return false;
}

static bool search_end(struct strategy *base)
{
    struct strategy_search *s = (struct strategy_search *)base;
    for (; s->used > 0; s->used--) {
        struct search_node *n = &s->nodes[s->used - 1];
        if (n->is_value ? ++n->chosen < n->count : advance(s, n))
            return true;
    }
    return false;
}

void strategy_search_init(struct strategy_search *s, uint32_t preemptions_max, bool reduce)
{
    s->base = (struct strategy){
        .name = "search",
        .begin = search_begin,
        .run = search_run,
        .choose = search_choose,
        .performed = search_performed,
        .end = search_end,
        .asks_always = true,
    };
    s->preemptions_max = preemptions_max;
    s->reduce = reduce;
    s->used = 0;
}

void run_experiment(const struct experiment *e, struct strategy *strategy,
                    struct experiment_result *result)
{
    static struct sched_report report;
    memset(result, 0, sizeof *result);
    while (result->executions + result->pruned < e->executions_max) {
        if (e->setup != NULL)
            e->setup(e->program->arg);
        enum sched_outcome outcome = sched_run(e->program, strategy, &report);
        if (outcome == SCHED_PRUNED) {
            result->pruned++;
        } else {
            result->executions++;
            const char *wrong = outcome == SCHED_OK && e->check != NULL ? e->check(e->program->arg)
                                                                        : NULL;
            if (wrong != NULL) {
                report.outcome = SCHED_FAILED;
                strcpy(report.kind, "check");
                strncpy(report.message, wrong, sizeof report.message - 1);
            }
            result->long_ones += report.steps >= e->program->steps_max;
            if (report.steps > result->steps_max)
                result->steps_max = report.steps;
            if (report.outcome != SCHED_OK && result->failures++ == 0)
                result->report = report;
            if (result->failures == 0)
                result->report = report;
            if (result->failures != 0 && !e->keep_going)
                return;
        }
        if (strategy->end != NULL && !strategy->end(strategy)) {
            result->complete = true;
            return;
        }
    }
}

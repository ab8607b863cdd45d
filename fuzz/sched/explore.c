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
// For each pair of conflicting events (i, j) of different threads that are not ordered otherwise,
// the node of i has j's thread in backtrack, or all enabled threads if j's was not enabled there.
//
// Value nodes are never reduced. The set of stores a load may read depends only on its thread and
// on conflicting events, so reduction and values do not disturb each other.
//
// A program that behaves differently on the same path leaks nondeterminism: the execution fails.
#include "explore.h"

#include <string.h>

enum { NONE = 0xffffffff };

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

// `thread` must also be tried before event `i`.
static void add_backtrack(struct strategy_search *s, const struct search_event *i, uint32_t thread)
{
    add_at(&s->nodes[i->node], thread);
    if (s->preemptions_max == SEARCH_UNBOUNDED)
        return;
    // Trying it right there may cost a preemption that the bound forbids: also try it where the
    // run of i's thread began, where it is free.
    for (uint32_t k = i->node + 1; k-- > 0;) {
        struct search_node *n = &s->nodes[k];
        if (n->is_value)
            continue;
        if (n->current != i->thread) {
            add_at(n, thread);
            return;
        }
    }
}

static bool may_meet(const struct event *earlier, const struct event *later)
{
    // A lock's release and its next acquisition are never both possible.
    return !(later->site->kind == EVENT_LOCK && earlier->site->kind == EVENT_UNLOCK);
}

static void order_event(struct strategy_search *s, struct search_event *e)
{
    struct vclock before = s->clocks[e->thread];
    struct vclock *clock = &s->clocks[e->thread];
    bool race_found = false;
    uint32_t i = s->whole_scan ? s->event_count - 1 : e->previous;
    while (i != NONE) {
        const struct search_event *x = &s->events[i];
        if (x->thread != e->thread && event_conflicts(&x->event, &e->event)) {
            bool ordered = before.at[x->thread] >= x->clock.at[x->thread];
            if (!ordered && !race_found && may_meet(&x->event, &e->event)) {
                add_backtrack(s, x, e->thread);
                // Reversing the last race finds the earlier ones, unless the bound cuts that short.
                race_found = s->preemptions_max == SEARCH_UNBOUNDED;
            }
            for (uint32_t t = 0; t < SCHED_THREADS_MAX; t++)
                if (x->clock.at[t] > clock->at[t])
                    clock->at[t] = x->clock.at[t];
        }
        i = s->whole_scan ? (i == 0 ? NONE : i - 1) : x->previous;
    }
    clock->at[e->thread]++;
    e->clock = *clock;
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
    uint32_t *last = last_on(s, event);
    e->previous = *last;
    if (event->address != 0 || s->whole_scan)
        order_event(s, e);
    else
        e->clock = s->clocks[thread], e->clock.at[thread] = ++s->clocks[thread].at[thread];
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

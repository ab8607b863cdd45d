// scheduler.c: the scheduler: points, decisions, locks, the end of an execution.
//
//   thread t: ... code ... | point: what t will do next is published; a thread is picked
//                          |   not t: switch to it; t sleeps here until somebody picks it
//                          | perform: t's event takes effect on the model of memory
//             ... code ...
// Between two points a thread runs alone, so code between them may use anything of the process.
//
// Invariants: `current` is the running fiber; the pending event of every other thread that has not
// ended is what it does when picked; each decision is made at a step of `current` that is used for
// no other decision of the same kind, so (thread, step, kind) names it.
//
// A lock is a word of memory that is taken by an update with acquire order and given back by a
// store with release order; who waits for it is not enabled, and the choice of the next thread is
// also the choice of the one that gets it. A thread that yields twice is not enabled until another
// one has made a step: its second look saw what the first did (the yield after a compare-and-swap
// that failed without reason does not count). From step steps_max on the schedule is fair (each
// enabled thread in turn, newest values), so an execution that still does not end is a livelock and
// not bad luck.
//
// On a failure all fibers are abandoned where they stand and sched_run returns.
#include "core.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "overflow.h"
#include "races.h"
#include "trace.h"

struct sched_core core;
uint8_t sched_order_mask[SCHED_SITES_MAX];
uint8_t sched_site_used[SCHED_SITES_MAX];
void (*sched_reads_from)(uint32_t load_site, uint32_t store_site);

static const struct sched_site site_begin = { .name = "thread.begin", .kind = EVENT_BEGIN };
static const struct sched_site site_end = { .name = "thread.end", .kind = EVENT_END };

__attribute__((constructor)) static void all_orders_in_force(void)
{
    memset(sched_order_mask, 0xff, sizeof sched_order_mask);
}

bool sched_is_running(void)
{
    return core.running;
}

uint32_t sched_current(void)
{
    return core.current;
}

uint32_t sched_unfinished(void)
{
    return core.unfinished;
}

uint32_t sched_frozen(void)
{
    return core.frozen;
}

void sched_freeze_after(uint32_t steps)
{
    core.freeze_step[core.current] = core.local_step[core.current] + steps;
}

uint32_t sched_step(void)
{
    return core.step;
}

bool sched_is_quiet(void)
{
    return core.quiet != 0;
}

void sched_quiet_begin(void)
{
    core.quiet++;
}

void sched_quiet_end(void)
{
    core.quiet--;
}

// ---- the end ----

static _Noreturn void leave(enum sched_outcome outcome)
{
    races_release(&core.races_end);
    core.report->outcome = outcome;
    core.running = false;
    for (uint32_t t = 0; t < core.program->threads; t++)
        core.threads[t].fiber.abandoned |= core.unfinished >> t & 1;
    fiber_switch(&core.threads[core.current].fiber, &core.conductor, true);
    abort(); // an abandoned fiber is never continued
}

void sched_tell(FILE *out)
{
    static bool told;
    struct sched_report *r = core.report;
    if (told || core.program == NULL || r == NULL)
        return;
    told = true;
    if (core.running) {
        const struct sched_site *at = core.pending[core.current].site;
        trace_end(r);
        r->steps = core.step;
        r->outcome = SCHED_FAILED;
        snprintf(r->kind, sizeof r->kind, "death");
        snprintf(r->message, sizeof r->message, "thread %u had got to %s, %s:%u", core.current,
                 at->name, at->file != NULL ? at->file : "the harness", at->line);
    }
    sched_print_timeline(core.program, r, out);
}

_Noreturn void sched_fail(const char *kind, const char *format, ...)
{
    char text[sizeof core.report->message];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (!core.running) { // at the end of an execution: what it did is still known
        sched_tell(stderr);
        fprintf(stderr, "sched: %s: %s\n", kind, text);
        abort();
    }
    snprintf(core.report->kind, sizeof core.report->kind, "%s", kind);
    memcpy(core.report->message, text, sizeof text);
    leave(SCHED_FAILED);
}

static _Noreturn void nobody_can_go_on(void)
{
    char *out = core.report->message;
    size_t room = sizeof core.report->message;
    snprintf(core.report->kind, sizeof core.report->kind, core.frozen ? "starvation" : "deadlock");
    for (uint32_t t = 0; t < core.program->threads; t++) {
        if (!(core.unfinished >> t & 1))
            continue;
        int n = snprintf(out, room, "thread %u %s %s at %s:%u; ", t,
                         core.frozen >> t & 1 ? "frozen at" : "waits in",
                         core.pending[t].site->name, core.pending[t].site->file,
                         core.pending[t].site->line);
        if (n < 0 || (size_t)n >= room)
            break;
        out += n;
        room -= (size_t)n;
    }
    leave(core.frozen ? SCHED_STARVED : SCHED_DEADLOCK);
}

// ---- decisions ----

// A thread of core.waiting.
static bool can_go_on(uint32_t t)
{
    const struct event *e = &core.pending[t];
    if (e->site->kind == EVENT_LOCK)
        return *(const uint32_t *)e->address == 0;
    return core.threads[t].ready(core.threads[t].ready_arg);
}

static uint32_t enabled_threads(void)
{
    uint32_t enabled = core.unfinished & ~core.frozen;
    for (uint32_t m = enabled & core.waiting; m != 0; m &= m - 1) {
        uint32_t t = (uint32_t)__builtin_ctz(m);
        if (!can_go_on(t))
            enabled &= ~(1u << t);
    }
    if (enabled & ~core.yielding)
        enabled &= ~core.yielding;
    return enabled;
}

static bool is_fair_phase(void)
{
    return core.step >= core.program->steps_max;
}

static uint32_t next_after(uint32_t enabled, uint32_t t)
{
    do
        t = (t + 1) % core.program->threads;
    while (!(enabled >> t & 1));
    return t;
}

static uint32_t decide(void)
{
    uint32_t enabled = enabled_threads();
    if (enabled == 0) {
        if (core.unfinished == 0 || core.unfinished == core.frozen)
            return SCHED_NOBODY;
        nobody_can_go_on();
    }
    bool stays = enabled >> core.current & 1;
    uint32_t preferred = stays ? core.current : next_after(enabled, core.current);
    uint32_t pick = preferred;
    if (is_fair_phase()) {
        pick = next_after(enabled, core.current);
    } else if (core.strategy->asks_always || (enabled & (enabled - 1))) {
        core.view.current = core.current;
        core.view.enabled = enabled;
        core.view.preferred = preferred;
        pick = core.strategy->run(core.strategy, &core.view);
        if (pick == SCHED_NOBODY)
            leave(SCHED_PRUNED);
    }
    core.decided_away = stays && pick != core.current;
    core.report->preemptions += core.decided_away;
    if (pick != preferred)
        trace_choice(core.current, CHOICE_RUN, core.local_step[core.current], pick);
    return pick;
}

uint32_t core_choose(enum choice_kind kind, uint32_t n)
{
    if (core.quiet || is_fair_phase())
        return 0;
    uint32_t t = core.current;
    uint32_t v = core.strategy->choose(core.strategy, kind, t, core.local_step[t], n);
    if (v != 0)
        trace_choice(t, kind, core.local_step[t], v);
    return v;
}

static void count_step(uint32_t t)
{
    core.step++;
    core.yielding &= 1u << t;
    core.spun &= 1u << t;
    if (core.strategy->performed != NULL) {
        core.view.current = t;
        core.view.fair = is_fair_phase();
        core.strategy->performed(core.strategy, &core.view, t);
    }
    if (core.step >= 2 * core.program->steps_max) {
        snprintf(core.report->kind, sizeof core.report->kind, "livelock");
        snprintf(core.report->message, sizeof core.report->message,
                 "%u fair steps did not end it; thread %u is at %s, %s:%u", core.program->steps_max,
                 t, core.pending[t].site->name, core.pending[t].site->file,
                 core.pending[t].site->line);
        leave(core.frozen ? SCHED_STARVED : SCHED_LIVELOCK);
    }
}

// The scheduling point: returns when the calling thread was picked to perform the event.
void core_point(const struct sched_site *at, uintptr_t address)
{
    uint32_t t = core.current;
    if (core.quiet)
        return;
    core.pending[t] = (struct event){ at, address };
    core.waiting &= ~(1u << t);
    core.waiting |= (uint32_t)(at->kind == EVENT_LOCK || at->kind == EVENT_WAIT) << t;
    core.local_step[t]++;
    if (core.program->observe != NULL) {
        core.quiet++;
        races_ignore_begin();
        core.program->observe(core.program->arg, core.step);
        races_ignore_end();
        core.quiet--;
    }
    if (core.local_step[t] >= core.freeze_step[t] && core.threads[t].locks_held == 0 &&
        !core.threads[t].sets_hooks)
        core.frozen |= 1u << t;
    uint32_t next = decide();
    if (next == SCHED_NOBODY)
        leave(SCHED_OK); // only frozen threads are left
    if (next != t) {
        int saved = errno;              // each thread has its own
        races_release(&core.races_end); // it may be abandoned here
        core.current = next;
        fiber_switch(&core.threads[t].fiber, &core.threads[next].fiber, false);
        errno = saved;
    }
    count_step(t);
    memory_tick(t);
}

void core_record(const struct sched_site *at, const struct location *l, uintptr_t address,
                 uint64_t value, uint64_t old, uint32_t back, bool failed)
{
    if (core.quiet)
        return;
    struct sched_record r = {
        .step = core.step,
        .thread = (uint8_t)core.current,
        .back = (uint8_t)back,
        .failed = failed,
        .preempted = core.decided_away,
        .local_step = core.local_step[core.current],
        .location = l != NULL ? l->index : UINT32_MAX,
        .site = at,
        .address = address,
        .value = value,
        .old = old,
    };
    core.decided_away = false;
    trace_step(&r);
}

// ---- threads ----

static void thread_main(void *arg)
{
    uint32_t t = (uint32_t)(uintptr_t)arg;
    races_acquire(&core.races_begin);
    count_step(t);
    memory_tick(t);
    core_record(&site_begin, NULL, 0, 0, 0, 0, false);
    core.program->body(core.program->arg, t);
    core_point(&site_end, 0);
    core_record(&site_end, NULL, 0, 0, 0, 0, false);
    if (core.threads[t].locks_held != 0)
        sched_fail("lock", "thread %u ends with a lock held", t);
    core.unfinished &= ~(1u << t);
    races_release(&core.races_end);
    core.local_step[t]++;
    uint32_t next = decide();
    if (next == SCHED_NOBODY)
        leave(SCHED_OK);
    core.current = next;
    fiber_switch(&core.threads[t].fiber, &core.threads[next].fiber, true);
}

enum sched_outcome sched_run(const struct sched_program *program, struct strategy *strategy,
                             struct sched_report *report)
{
    if (core.running || program->threads == 0 || program->threads > SCHED_THREADS_MAX)
        sched_fail("harness", "a program has 1 to %u threads, one at a time", SCHED_THREADS_MAX);
    core.program = program;
    core.strategy = strategy;
    core.report = report;
    core.quiet = core.step = core.frozen = core.spun = core.yielding = core.current = 0;
    core.waiting = 0;
    core.decided_away = false;
    core.view = (struct sched_view){ .threads = program->threads,
                                     .pending = core.pending,
                                     .local_step = core.local_step };
    core.unfinished = (1u << program->threads) - 1;
    report->kind[0] = report->message[0] = 0;
    report->preemptions = 0;
    trace_begin();
    memory_reset(program->threads);
    overflow_watch();
    fiber_adopt(&core.conductor);
    for (uint32_t t = 0; t < program->threads; t++) {
        struct sched_thread *x = &core.threads[t];
        fiber_prepare(&x->fiber, thread_main, (void *)(uintptr_t)t);
        x->locks_held = x->spurious_run = 0;
        x->sets_hooks = x->excused = false;
        core.local_step[t] = 0;
        core.freeze_step[t] = t == program->frozen_thread ? program->frozen_step : SCHED_NOBODY;
        core.pending[t] = (struct event){ &site_begin, 0 };
    }
    strategy->begin(strategy, program->threads);
    core.running = true;
    // No decision: until its first scheduling point a thread does nothing that others can see.
    races_release(&core.races_begin);
    fiber_switch(&core.conductor, &core.threads[0].fiber, false);
    races_acquire(&core.races_end);
    core.current = 0;
    report->steps = core.step;
    if (races_reported() && report->outcome == SCHED_OK) {
        report->outcome = SCHED_FAILED;
        snprintf(report->kind, sizeof report->kind, "data race");
        snprintf(report->message, sizeof report->message, "plain accesses that nothing orders");
    }
    trace_end(report);
    return report->outcome;
}

// scheduled.c: from an input to an execution, and from its failure to a report.
//
//   decode -> reset system, allocator, shadow map -> threads run their operations in order ->
//   each ends with its exit hook -> free everything, audit
//
// Invariants: an execution depends on the input's bytes alone; what it needs of the process (slots,
// stacks, the region of the virtual system) is made once and given back as it was.
//
// The oracle: every result of an operation (exec.c); at every step, whether a slab's life began or
// ended as it must (lives.c); every CENSUS_STEPS steps a census of the live blocks (census.c: at
// each step, 30 operations would take 1.6 times as long as without, and fewer than 20,000 inputs a
// second would run; now it is 1.1 times); the audit at barriers and at the end.
//
// A failure inside of a thread ends the execution (sched_fail); all failures end in `report`, which
// prints the time line and what was found, and aborts. A death that nobody here brought about, as
// by a sanitizer or a signal, is told by target_died. HAK_TIMELINE=1 prints it for good executions
// too; HAK_WEAKEN=SITE makes the memory order of a site relaxed; HAK_CONCRETE=FILE writes the
// failing input with its choices as a list of decisions, which is what a minimiser wants, whatever
// strategy found it.
#include "scheduled.h"

#include <stdlib.h>
#include <string.h>

#include <config.h>

#include "census.h"
#include "lives.h"
#include "sched/coverage.h"
#include "sched/process.h"
#include "sched/races.h"
#include "sched/system.h"
#include "sched/weaken.h"
#include "target.h"

#define THREADS_MAX 4u
#define SLOTS_MAX 256u

static struct {
    struct ops program;
    struct exec exec;
    struct choice choices[LISTED_CHOICES_MAX];
    struct strategy_listed listed;
    struct strategy_random random;
    struct strategy_pct pct;
    struct strategy_pos pos;
    struct sched_program body;
    struct sched_report report;
    struct strategy *strategy;
    uint32_t at_barrier, done;        // bit per thread; done: only waits to be the last
    struct vclock known[THREADS_MAX]; // what each knew when it came to its last barrier
    uint32_t barriers_passed;
    uint64_t arena_bytes;
    const struct op *current[THREADS_MAX];
    struct vclock handed[SLOTS_MAX]; // what the thread knew that filled the slot
    char reason[400];
    bool reported;
} run;

// ---- reports ----

static void write_concrete(const char *path)
{
    struct ops_error error;
    run.program.decision_count = 0;
    for (uint32_t i = 0; i < run.report.choice_count; i++) {
        const struct choice *c = &run.report.choices[i];
        ops_push_decision(&run.program, (struct decision){ .thread = c->thread,
                                                           .kind = c->kind,
                                                           .choice = c->value,
                                                           .step = c->step });
    }
    run.program.header.strategy = OPS_DECIDED;
    size_t size = ops_encode(&run.program, OPS_RECORDS, NULL, 0, &error);
    uint8_t *bytes = size != 0 ? malloc(size) : NULL;
    FILE *file = bytes != NULL ? fopen(path, "wb") : NULL;
    bool ok = file != NULL && ops_encode(&run.program, OPS_RECORDS, bytes, size, &error) == size &&
              fwrite(bytes, 1, size, file) == size;
    if (file != NULL)
        ok &= fclose(file) == 0;
    free(bytes);
    fprintf(stderr, ok ? "%s: decisions written to %s\n" : "%s: cannot write %s\n", target_name,
            path);
}

static _Noreturn void report_found(const struct op *op)
{
    const char *path = getenv("HAK_CONCRETE");
    run.reported = true;
    sched_tell(stderr);
    if (path != NULL)
        write_concrete(path);
    target_found(&run.program, op, run.reason);
}

void target_died(void)
{
    const struct op *op = sched_is_running() ? run.current[sched_current()] : NULL;
    char line[200] = "at the end";
    if (run.reported)
        return;
    sched_tell(stderr);
    if (op != NULL)
        ops_format(op, line, sizeof line);
    fprintf(stderr, "%s: died: %s\n", target_name, line);
}

// The oracle's verdict: in a thread it ends the execution, else it is reported at once.
static void found(struct exec *exec, const struct op *op, const char *reason)
{
    (void)exec;
    if (sched_is_running()) {
        run.current[sched_current()] = op;
        sched_fail("oracle", "%s", reason);
    }
    snprintf(run.reason, sizeof run.reason, "%s", reason);
    report_found(op);
}

static void describe(void *arg, uint64_t note, char *out, size_t room)
{
    (void)arg;
    char text[120];
    ops_format(&run.program.list[note], text, sizeof text);
    snprintf(out, room, "== %s", text);
}

// ---- the oracle between operations ----

#define CENSUS_STEPS 4u

// A system that failed while the arena was set up may have left a smaller one, or none yet, and
// address space that is lost.
static void look_at_arena(void)
{
    uint64_t now = process_arena_bytes();
    run.exec.arena_bytes = os_fault_failed() != 0 && now < run.arena_bytes ? now : run.arena_bytes;
}

static void observe(void *arg, uint32_t step)
{
    (void)arg;
    look_at_arena();
    if (scheduled_target.observe != NULL)
        scheduled_target.observe(&run.exec);
    const char *wrong = lives_check();
    if (wrong != NULL)
        sched_fail("lives", "%s", wrong);
    wrong = step % CENSUS_STEPS == 0 ? census(&run.exec.shadow) : NULL;
    if (wrong != NULL)
        sched_fail("census", "%s", wrong);
}

// ---- threads ----

static bool is_barrier_open(void *arg)
{
    uint32_t mine = *(const uint32_t *)arg;
    uint32_t others = sched_unfinished() & ~sched_frozen() & ~run.done;
    return run.barriers_passed != mine || (run.at_barrier & others) == others;
}

// All threads are at the barrier or have ended: nobody is inside of the allocator, unless frozen.
static void barrier(const struct op *op)
{
    static const struct sched_site at = { .name = "barrier", .kind = EVENT_WAIT };
    uint32_t number = run.barriers_passed, t = sched_current();
    run.at_barrier |= 1u << t;
    run.known[t] = memory_publish(t);
    races_release(&run.known);
    sched_wait(&at, is_barrier_open, &number);
    races_acquire(&run.known);
    for (uint32_t u = 0; u < THREADS_MAX; u++)
        memory_learn(t, &run.known[u]);
    if (number != run.barriers_passed)
        return; // another one opened it
    run.barriers_passed++;
    run.at_barrier = 0;
    // What these hold is in no place that the map knows; what was freed twice is in two.
    if (sched_frozen() != 0 || process_vanished() != 0 || census_allowed() != NULL)
        return;
    sched_quiet_begin();
    exec_audit(&run.exec, op);
    sched_quiet_end();
    races_release(&run.known);
}

// A program that frees in one thread what it allocated in another hands the pointer over with
// release and acquire. More must not be assumed: a slot that is empty orders nothing.
static void perform_on_slot(const struct op *op)
{
    uint32_t slot = op->slot % run.exec.slot_count, t = sched_current();
    unsigned fields = ops_fields(op->kind);
    unsigned before = atomic_load(&run.exec.slots[slot].state);
    struct exec_slot *x = &run.exec.slots[slot];
    if ((fields & OPS_SLOT) && before == SLOT_FULL) {
        memory_learn(t, &run.handed[slot]);
        races_acquire(&run.handed[slot]);
        races_write(x->block.start, x->block.asked); // the user's last access
    }
    exec_op(&run.exec, op);
    bool acted = fields & OPS_DST ? before == SLOT_EMPTY
                                  : (fields & OPS_SLOT) && before != SLOT_BUSY;
    if (acted && atomic_load(&run.exec.slots[slot].state) == SLOT_FULL) {
        run.handed[slot] = memory_publish(t);
        races_write(x->block.start, x->block.asked); // the user's first access
        races_release(&run.handed[slot]);
    }
}

static void perform(const struct op *op)
{
    run.current[sched_current()] = op;
    sched_note((uint64_t)(op - run.program.list));
    if (scheduled_target.operation != NULL && scheduled_target.operation(&run.exec, op))
        return;
    switch (op->kind) {
    case OP_BARRIER:
        barrier(op);
        break;
    case OP_EXIT:
        process_exit_thread();
        break;
    case OP_START:
        break; // any operation of an ended thread starts it
    case OP_FREEZE:
        sched_freeze_after((uint32_t)(op->size % 256));
        break;
    case OP_STATS:
    case OP_AUDIT:
    case OP_FORK:
    case OP_MISUSE:
    case OP_CORRUPT:
        break; // at barriers, or other targets'
    default:
        perform_on_slot(op);
    }
}

// Whether only thread 0 is left.
static bool is_alone(void *arg)
{
    (void)arg;
    return (sched_unfinished() & ~sched_frozen()) == 1;
}

// What the target does when all others have ended.
static void be_last(void)
{
    static const struct sched_site at = { .name = "last", .kind = EVENT_WAIT };
    run.done = 1;
    run.known[0] = memory_publish(0);
    races_release(&run.known);
    sched_wait(&at, is_alone, NULL);
    races_acquire(&run.known);
    for (uint32_t u = 0; u < THREADS_MAX; u++)
        memory_learn(0, &run.known[u]);
    if (sched_frozen() == 0)
        scheduled_target.last(&run.exec);
}

static void thread_body(void *arg, uint32_t t)
{
    (void)arg;
    for (size_t i = 0; i < run.program.count; i++)
        if (run.program.list[i].thread == t)
            perform(&run.program.list[i]);
    run.current[t] = NULL;
    if (t == 0 && scheduled_target.last != NULL)
        be_last();
    process_exit_thread();
    run.known[t] = memory_publish(t); // who waits for all also waits for its end
    races_release(&run.known);
}

// ---- one execution ----

static void first_call(void *arg, uint32_t t)
{
    (void)t;
    *(bool *)arg = exec_init(&run.exec, &allocator_hakmem, scheduled_target.limits.slots);
}

// The process's first allocation is an execution, too: it may fail like any other.
static bool make_first_call(void)
{
    static const struct op first = { .kind = OP_MALLOC, .size = 1 };
    struct strategy usual = strategy_default();
    bool made = false;
    run.body = (struct sched_program){ .name = target_name,
                                       .threads = 1,
                                       .body = first_call,
                                       .arg = &made,
                                       .steps_max = scheduled_target.steps_max,
                                       .frozen_thread = SCHED_NOBODY };
    if (sched_run(&run.body, &usual, &run.report) != SCHED_OK) {
        snprintf(run.reason, sizeof run.reason, "%s: %.300s", run.report.kind, run.report.message);
        report_found(&first);
    }
    return made;
}

static void make_exec(void)
{
    system_reset(scheduled_target.space_bytes, scheduled_target.options);
    process_reset();
    if (scheduled_target.limits.slots > SLOTS_MAX) {
        fprintf(stderr, "%s: more than %u slots\n", target_name, SLOTS_MAX);
        exit(2);
    }
    if (!make_first_call()) {
        fprintf(stderr, "%s: out of memory\n", target_name);
        exit(2);
    }
    run.arena_bytes = run.exec.arena_bytes;
    run.exec.fail = found;
    run.exec.live_bytes_max = scheduled_target.live_bytes_max;
    // A SuperSlab that is being begun, for each thread.
    run.exec.slack_bytes = (uint64_t)scheduled_target.limits.threads * SUPERSLAB_SIZE;
    run.exec.shadow.use_all = !TARGET_EXACT_BOUNDS;
}

static void reset_all(void)
{
    struct exec *e = &run.exec;
    system_reset(scheduled_target.space_bytes, scheduled_target.options);
    process_reset();
    exec_reset(e, run.program.header.seed);
    lives_reset();
    e->arena_bytes = run.arena_bytes;
    run.at_barrier = run.done = run.barriers_passed = 0;
    memset(run.known, 0, sizeof run.known);
    memset(run.current, 0, sizeof run.current);
}

static void choose_strategy(void)
{
    const struct ops_header *h = &run.program.header;
    size_t n = run.program.decision_count;
    switch (h->strategy) {
    case OPS_RANDOM:
        strategy_random_init(&run.random, h->seed);
        run.strategy = &run.random.base;
        break;
    case OPS_PCT:
        strategy_pct_init(&run.pct, h->seed, h->depth, (uint32_t)run.program.count * 20 + 20);
        run.strategy = &run.pct.base;
        break;
    case OPS_POS:
        strategy_pos_init(&run.pos, h->seed);
        run.strategy = &run.pos.base;
        break;
    default:
        n = n < LISTED_CHOICES_MAX ? n : LISTED_CHOICES_MAX;
        for (size_t i = 0; i < n; i++) {
            const struct decision *d = &run.program.decisions[i];
            run.choices[i] = (struct choice){
                .thread = d->thread, .kind = d->kind, .value = d->choice, .step = d->step
            };
        }
        strategy_listed_init(&run.listed, run.choices, n);
        run.strategy = &run.listed.base;
    }
}

static void execute(bool thoroughly)
{
    reset_all();
    choose_strategy();
    uint32_t threads = run.program.header.threads;
    run.body = (struct sched_program){
        .name = target_name,
        .threads = threads < THREADS_MAX ? threads : THREADS_MAX,
        .body = thread_body,
        .steps_max = scheduled_target.steps_max,
        .frozen_thread = SCHED_NOBODY,
        .describe = describe,
        .observe = observe,
    };
    if (scheduled_target.begin != NULL)
        scheduled_target.begin(&run.exec);
    enum sched_outcome outcome = sched_run(&run.body, run.strategy, &run.report);
    if (outcome != SCHED_OK && scheduled_target.expected != NULL &&
        scheduled_target.expected(&run.report))
        return;
    if (outcome != SCHED_OK) {
        const struct sched_report *r = &run.report;
        uint32_t t = r->trace_count != 0 ? r->trace[r->trace_count - 1].thread : 0;
        snprintf(run.reason, sizeof run.reason, "%s: %.300s", r->kind, r->message);
        report_found(run.current[t]);
    }
    if (sched_frozen() != 0)
        return; // what it holds is lost, by design: no census
    if (scheduled_target.finish != NULL && scheduled_target.finish(&run.exec))
        return;
    exec_finish(&run.exec);
    const char *wrong = census_unused(thoroughly);
    if (wrong != NULL)
        found(&run.exec, NULL, wrong);
}

// Of one input in 64: every page that should be unused is read after it, not a sample of them.
static bool is_thorough(const uint8_t *data, size_t size)
{
    uint64_t h = 0;
    for (size_t i = 0; i < size; i++)
        h = (h ^ data[i]) * UINT64_C(0x9e3779b97f4a7c15);
    return h >> 58 == 0;
}

static bool decode(const uint8_t *data, size_t size)
{
    if (!ops_decode_lenient(&run.program, data, size, &scheduled_target.limits))
        return false;
    for (size_t i = 0; scheduled_target.adapt != NULL && i < run.program.count; i++)
        scheduled_target.adapt(&run.program.list[i]);
    return true;
}

static void weaken_one(void)
{
    const char *site = getenv("HAK_WEAKEN");
    if (site != NULL && !weaken(site)) {
        fprintf(stderr, "%s: HAK_WEAKEN=%s: no such site\n", target_name, site);
        exit(2);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    weaken_one();
    make_exec();
    if (!ops_reserve(&run.program, scheduled_target.limits.ops_max, LISTED_CHOICES_MAX)) {
        fprintf(stderr, "%s: out of memory\n", target_name);
        exit(2);
    }
    coverage_of_reads();
    reset_all();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!decode(data, size))
        return -1;
    bool thoroughly = is_thorough(data, size);
    execute(thoroughly);
    uint64_t hash = run.report.hash;
    execute(thoroughly);
    if (run.report.hash != hash) {
        snprintf(run.reason, sizeof run.reason, "two executions of one input differ");
        report_found(NULL);
    }
    if (getenv("HAK_TIMELINE") != NULL)
        sched_print_timeline(&run.body, &run.report, stdout);
    return 0;
}

bool target_print(const uint8_t *data, size_t size, FILE *out)
{
    if (!decode(data, size))
        return false;
    ops_print(&run.program, out);
    return true;
}

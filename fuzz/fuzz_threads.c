// fuzz_threads.c: the operations on real threads, two to four, under the same oracle.
//
// Each thread of the input carries out its own operations in order, all at the same time; a slot
// passes a block from one to the other, and `barrier` brings them together (audits happen there and
// at the end, when nobody is inside of the allocator). `exit` ends the operating system's thread;
// another one goes on with the rest, after it has gone. What happens depends on the machine: this
// target looks for races with ThreadSanitizer, fuzz_sched makes interleavings into files.
//
// Under ThreadSanitizer the shadow map is off, because its lock would order what must be shown
// to be ordered by the allocator; contents are still checked.
#include "exec.h"
#include "target.h"

#include <stdlib.h>

const char target_name[] = "fuzz_threads";

#define SLOTS 64u
#define THREADS_MAX 4u

static const struct ops_limits limits = { .ops_max = 2048,
                                          .slots = SLOTS,
                                          .threads = THREADS_MAX,
                                          .size_max = GEOMETRY_SMALL ? 1u << 18 : 4u << 20,
                                          .fail_min = (uint64_t)1 << 47 };

// A thread of the input. `pthread` is that of its last operating system's thread.
struct runner {
    uint16_t number;
    size_t at; // the operation that comes next
    pthread_t pthread;
    pthread_t previous;
    bool has_previous;
};

static struct exec exec;
static struct ops program;
static struct runner runners[THREADS_MAX];

// Threads that have not ended, those at a barrier, and how often a barrier has opened.
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned running;
    unsigned waiting;
    unsigned opened;
} meeting = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void found(struct exec *e, const struct op *op, const char *reason)
{
    (void)e;
    target_found(&program, op, reason);
}

static void fatal(const char *what)
{
    fprintf(stderr, "%s: %s\n", target_name, what);
    exit(2);
}

// With the lock: lets all go on if nobody is missing.
static void open_barrier(void)
{
    if (meeting.waiting == 0 || meeting.waiting < meeting.running)
        return;
    exec_audit(&exec, NULL);
    meeting.waiting = 0;
    meeting.opened++;
    pthread_cond_broadcast(&meeting.changed);
}

static void wait_at_barrier(void)
{
    pthread_mutex_lock(&meeting.lock);
    unsigned opened = meeting.opened;
    meeting.waiting++;
    open_barrier();
    while (opened == meeting.opened)
        pthread_cond_wait(&meeting.changed, &meeting.lock);
    pthread_mutex_unlock(&meeting.lock);
}

// Stays until all are through: a thread that ends gives its heap back, and no audit may run then.
static void leave(void)
{
    pthread_mutex_lock(&meeting.lock);
    meeting.running--;
    open_barrier();
    pthread_cond_broadcast(&meeting.changed);
    while (meeting.running)
        pthread_cond_wait(&meeting.changed, &meeting.lock);
    pthread_mutex_unlock(&meeting.lock);
}

static void *run(void *arg)
{
    struct runner *runner = arg;
    if (runner->has_previous)
        pthread_join(runner->previous, NULL);
    while (runner->at < program.count) {
        const struct op *op = &program.list[runner->at++];
        if (op->thread != runner->number)
            continue;
        if (op->kind == OP_BARRIER)
            wait_at_barrier();
        else if (op->kind == OP_EXIT) {
            runner->previous = pthread_self();
            runner->has_previous = true;
            if (pthread_create(&runner->pthread, NULL, run, runner) != 0)
                fatal("cannot start a thread");
            return NULL;
        } else
            exec_op(&exec, op);
    }
    leave();
    return NULL;
}

static void start(void)
{
    if (!exec_init(&exec, &allocator_hakmem, SLOTS))
        fatal("out of memory");
    exec.fail = found;
    exec.threaded = true;
    exec.live_bytes_max = GEOMETRY_SMALL ? 4u << 20 : 32u << 20;
    exec.shadow.use_all = !TARGET_EXACT_BOUNDS;
#if defined(HAK_TSAN)
    exec.shadow.map = false;
#endif
}

bool target_print(const uint8_t *data, size_t size, FILE *out)
{
    if (!ops_decode_lenient(&program, data, size, &limits))
        return false;
    ops_print(&program, out);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!ops_decode_lenient(&program, data, size, &limits))
        return -1;
    if (!exec.slots)
        start();
    unsigned threads = program.header.threads;
    exec.pattern = program.header.seed;
    meeting.running = threads;
    meeting.waiting = 0;
    for (unsigned i = 0; i < threads; i++) {
        runners[i] = (struct runner){ .number = (uint16_t)i };
        if (pthread_create(&runners[i].pthread, NULL, run, &runners[i]) != 0)
            fatal("cannot start a thread");
    }
    pthread_mutex_lock(&meeting.lock);
    while (meeting.running)
        pthread_cond_wait(&meeting.changed, &meeting.lock);
    pthread_mutex_unlock(&meeting.lock);
    for (unsigned i = 0; i < threads; i++)
        pthread_join(runners[i].pthread, NULL);
    exec_finish(&exec);
    return 0;
}

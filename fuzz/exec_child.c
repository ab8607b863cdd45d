// exec_child.c: operations that end or split a process: fork, and mistakes of the caller.
//
// A mistake is made in a child, which must die of SIGABRT with a line "hakmem: ..." on its standard
// error where hakmem.h promises detection, and otherwise must end well or so. Any other end (a
// sanitizer's report, SIGSEGV, a wrong exit status, no end within CHILD_SECONDS) is a failure.
// What it says comes through a pipe. The fuzz engine's handlers are taken away in the child.
//
// A child of fork checks all contents, allocates and frees in every tier, audits and exits.
#include "exec.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_SECONDS 30 // after which it says where it is
#define CHILD_MS 60000   // after which it is killed
#define CHILD_OK 0
#define CHILD_WRONG 77

struct child {
    pid_t pid;
    int from; // its standard error
    char said[4000];
    int status;
};

void __sanitizer_print_stack_trace(void) __attribute__((weak));

static void on_alarm(int number)
{
    static const char line[] = "the child hangs\n";
    (void)number;
    (void)!write(STDERR_FILENO, line, sizeof line - 1);
    if (__sanitizer_print_stack_trace)
        __sanitizer_print_stack_trace();
    _exit(CHILD_WRONG);
}

// Returns in the parent; `body` runs in the child and does not return.
static bool start(struct child *child, void (*body)(struct exec *, const struct op *),
                  struct exec *exec, const struct op *op)
{
    int ends[2];
    memset(child, 0, sizeof *child);
    if (pipe(ends) != 0)
        return false;
    child->pid = fork();
    if (child->pid == 0) {
        static const int signals[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTERM };
        for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++)
            signal(signals[i], SIG_DFL);
        signal(SIGALRM, on_alarm);
        alarm(CHILD_SECONDS);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        body(exec, op);
        _exit(CHILD_OK);
    }
    close(ends[1]);
    child->from = ends[0];
    if (child->pid < 0)
        close(ends[0]);
    return child->pid > 0;
}

static bool may_fork(struct exec *exec)
{
    return atomic_load(&exec->children) > 0 && atomic_fetch_sub(&exec->children, 1) > 0;
}

// Reads what the child says until it closes its end, then waits for it.
static bool finish(struct child *child)
{
    size_t length = 0;
    char more[512];
    bool ended = false;
    struct pollfd poll_from = { .fd = child->from, .events = POLLIN };
    while (!ended) {
        // The engine's own timer interrupts.
        int ready = poll(&poll_from, 1, CHILD_MS);
        if (ready < 0 && errno == EINTR)
            continue;
        ssize_t got = ready > 0 ? read(child->from, more, sizeof more) : -1;
        if (got < 0 && ready > 0 && errno == EINTR)
            continue;
        if (got < 0)
            break;
        ended = got == 0;
        size_t room = sizeof child->said - 1 - length;
        memcpy(child->said + length, more, (size_t)got < room ? (size_t)got : room);
        length += (size_t)got < room ? (size_t)got : room;
    }
    close(child->from);
    if (!ended)
        kill(child->pid, SIGKILL);
    while (waitpid(child->pid, &child->status, 0) < 0 && errno == EINTR)
        ;
    return ended;
}

// ---- fork ----

static _Noreturn void child_wrong(const char *what)
{
    (void)!write(STDERR_FILENO, what, strlen(what));
    _exit(CHILD_WRONG);
}

static void body_fork(struct exec *exec, const struct op *op)
{
    static const size_t sizes[] = { 1, 100, 5000, 40000, 300000, 3000000 };
    const struct allocator *a = exec->allocator;
    (void)op;
    a->fail_os(0, 0);
    if (exec->alone && exec->shadow.map && !shadow_check_all(&exec->shadow))
        child_wrong(exec->shadow.reason);
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            unsigned char *p = a->malloc(sizes[i]);
            if (!p && exec_may_fail(exec, sizes[i]))
                continue;
            if (!p)
                child_wrong("the child of fork cannot allocate");
            p[0] = p[sizes[i] - 1] = 1;
            a->free(p);
        }
    a->flush();
    struct hak_audit_report audit = { 0 };
    if (exec->alone && !a->audit(&audit))
        child_wrong(audit.first_error);
}

void exec_fork(struct exec *exec, const struct op *op)
{
    struct child child;
    if (!may_fork(exec) || !start(&child, body_fork, exec, op)) {
        exec_count(&exec->counts.skipped);
        return;
    }
    if (!finish(&child))
        exec_wrong(exec, op, "the child of fork hangs");
    if (!WIFEXITED(child.status) || WEXITSTATUS(child.status) != CHILD_OK)
        exec_wrong(exec, op, "the child of fork ended with status 0x%x: %s", (unsigned)child.status,
                   child.said);
    exec_count(&exec->counts.done);
}

// ---- mistakes ----

// What hakmem.h says of a mistake.
enum promise { PROMISE_FAULT, PROMISE_NONE };

static char not_ours[256] __attribute__((aligned(64)));

static enum promise promise_of(const struct op *op, bool is_mapped)
{
    switch (op->arg) {
    case MISUSE_FOREIGN_FREE:  // ignored and counted
    case MISUSE_REALLOC_FREED: // the block may be cached: not looked up
    case MISUSE_SIZED_MISMATCH:
        return PROMISE_NONE;
    case MISUSE_DOUBLE_FREE:
    case MISUSE_INTERIOR_FREE: // outside of the arena all but a mapping's start is foreign
        return is_mapped ? PROMISE_NONE : PROMISE_FAULT;
    default:
        return PROMISE_FAULT;
    }
}

// An address of the block that is not its start.
static char *inside(const struct shadow_block *block, uint64_t offset)
{
    return (char *)block->start + 1 + offset % (block->asked - 1);
}

static void body_misuse(struct exec *exec, const struct op *op)
{
    const struct allocator *a = exec->allocator;
    const struct shadow_block *block = &exec->slots[op->slot % exec->slot_count].block;
    void *p = block->start;
    a->fail_os(0, 0);
    switch (op->arg) {
    case MISUSE_DOUBLE_FREE:
        a->free(p);
        a->free(p);
        break;
    case MISUSE_INTERIOR_FREE:
        a->free(inside(block, op->size));
        break;
    case MISUSE_FOREIGN_FREE:
        a->free(not_ours);
        break;
    case MISUSE_REALLOC_FREED:
        a->free(p);
        a->flush();
        p = a->realloc(p, op->size % 65536 + 1);
        break;
    case MISUSE_REALLOC_INTERIOR:
        p = a->realloc(inside(block, op->size), 10);
        break;
    case MISUSE_REALLOC_FOREIGN:
        p = a->realloc(not_ours, 10);
        break;
    case MISUSE_SIZE_INTERIOR:
        a->usable_size(inside(block, op->size));
        break;
    case MISUSE_SIZE_FOREIGN:
        a->usable_size(not_ours);
        break;
    default: // MISUSE_SIZED_MISMATCH
        a->free_sized(p, block->usable * 8 + 4096);
        break;
    }
    a->flush();
}

void exec_misuse(struct exec *exec, const struct op *op)
{
    struct child child;
    // An address that was never handed out cannot be told from outside: the sched harness does it.
    if (!exec->alone || op->arg == MISUSE_NEVER_ALLOCATED) {
        exec_count(&exec->counts.skipped);
        return;
    }
    struct exec_slot *slot = exec_claim(exec, op, SLOT_FULL);
    if (!slot)
        return;
    bool is_mapped = exec->allocator->is_mapped(slot->block.start);
    if (slot->block.asked < 2 || !may_fork(exec) || !start(&child, body_misuse, exec, op)) {
        exec_count(&exec->counts.skipped);
        exec_settle(slot, SLOT_FULL);
        return;
    }
    if (!finish(&child))
        exec_wrong(exec, op, "the child that makes the mistake hangs");
    bool told = WIFSIGNALED(child.status) && WTERMSIG(child.status) == SIGABRT &&
                strncmp(child.said, "hakmem: ", 8) == 0;
    bool well = WIFEXITED(child.status) && WEXITSTATUS(child.status) == CHILD_OK;
    if (!told && !well)
        exec_wrong(exec, op, "the child that makes the mistake ended with status 0x%x: %s",
                   (unsigned)child.status, child.said);
    if (!told && promise_of(op, is_mapped) == PROMISE_FAULT)
        exec_wrong(exec, op, "the mistake was not reported");
    exec_count(told ? &exec->counts.detected : &exec->counts.silent);
    exec_settle(slot, SLOT_FULL);
}

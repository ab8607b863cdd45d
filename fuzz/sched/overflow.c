// overflow.c: recursion without bound is a failure like any other, with its time line.
//
// Below each stack of a fiber lies a guard (fiber.c). A fault there is met on a stack of its own
// and ends the execution by sched_fail; any other fault goes back to whoever heard of it before: a
// sanitizer, libFuzzer, or nobody. The handler never returns to a stack that overflowed, so nothing
// is asked of that stack's contents.
//
// An instrumented frame touches its stack page by page only as far as it uses it: the guard is
// larger than any frame of src/.
#include "overflow.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "core.h"

static struct sigaction before;
static char stack[64 << 10];

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)context;
    if (core.running && fiber_is_guard(&core.threads[core.current].fiber, info->si_addr))
        sched_fail("stack overflow", "thread %u used more than %zu bytes of stack", core.current,
                   FIBER_STACK_BYTES);
    sigaction(number, &before, NULL); // the access is made again, and faults again
}

void overflow_watch(void)
{
    static bool watching;
    stack_t other = { .ss_sp = stack, .ss_size = sizeof stack }, old;
    // Not deferred: the handler is left by a switch, and the next overflow must be met too.
    struct sigaction action = { .sa_sigaction = on_fault,
                                .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
    if (watching)
        return;
    watching = true;
    if (sigaltstack(NULL, &old) != 0 ||
        ((old.ss_flags & SS_DISABLE) && sigaltstack(&other, NULL) != 0) ||
        sigaction(SIGSEGV, &action, &before) != 0) {
        perror("sched: no handler of stack overflows");
        exit(2);
    }
}

// stack.h: the stand-in for the C library's unwinder.
#ifndef SCHED_STACK_H
#define SCHED_STACK_H

// Between executions: it was never used.
void stack_reset(void);

#endif

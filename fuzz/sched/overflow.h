// overflow.h: reports a logical thread that uses up its stack.
#ifndef SCHED_OVERFLOW_H
#define SCHED_OVERFLOW_H

// From now on such a thread ends its execution as failed. Once per process is enough.
void overflow_watch(void);

#endif

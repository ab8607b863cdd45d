// trace.h: what an execution did: its steps, their hash, and the choices that made it.
#ifndef SCHED_TRACE_H
#define SCHED_TRACE_H

#include "scheduler.h"

void trace_begin(void);
void trace_step(const struct sched_record *r);
// A decision that differs from the default.
void trace_choice(uint32_t thread, enum choice_kind kind, uint32_t step, uint32_t value);
// Fills in the report's hash, arrays and counts.
void trace_end(struct sched_report *report);

#endif

// coverage.h: reads-from pairs as coverage for fuzzing engines.
#ifndef SCHED_COVERAGE_H
#define SCHED_COVERAGE_H

// From now on each pair (site of a load, site of the store it read) counts as an edge.
void coverage_of_reads(void);

#endif

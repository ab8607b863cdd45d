// inject.h: failures of the operating system, made at random.
//
// The program is linked with --wrap for each function of the os seam that can fail (rules.mk), so
// the allocator under test is the shipped one, object for object. Not linked for peers.
#ifndef STRESS_INJECT_H
#define STRESS_INJECT_H

#include <stdint.h>

// From now on each call of the os seam fails with probability 1 / one_in; 0: never.
void inject_failures(unsigned one_in, uint64_t seed);
// Failures injected so far.
uint64_t inject_count(void);

#endif

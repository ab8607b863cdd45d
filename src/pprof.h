// pprof.h: files of the heap profile (profile.h) for viewers.
#ifndef HAK_PPROF_H
#define HAK_PPROF_H

#include "base.h"

// These two use little stack, and static memory: at exit and, one at a time, in a signal handler.

// Writes the profile to a descriptor: nothing if it is off.
void hak_pprof_answer(int fd);

// Writes the profile to PREFIX.PROCESS.pb, or PREFIX.PROCESS.NUMBER.pb if number is not 0, where
// PREFIX is what the option profile_file says. Nothing happens if it or `profile` is not set. A
// failure is told on standard error.
void hak_pprof_write_file(uint32_t number);

#endif

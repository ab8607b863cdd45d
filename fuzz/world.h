// world.h: an input begins with an allocator that was never called, whatever ran before it.
//
// So a finding is its file, not the inputs before it, and every run of an input takes the same path
// (AFL++'s stability). For harnesses of one thread on the real system; those on logical threads
// have process.h.
#ifndef FUZZ_WORLD_H
#define FUZZ_WORLD_H

// Before the first call of the allocator, and before each input. No other thread may be alive.
void world_reset(void);

#endif

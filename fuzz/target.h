// target.h: what every fuzz target has: the entry that libFuzzer, AFL++ and replay.c call, and how
// it ends when it found something.
#ifndef FUZZ_TARGET_H
#define FUZZ_TARGET_H

#include "ops.h"

#include <seam/sanitizer.h>

#include <stddef.h>
#include <stdint.h>

// Whether the build's tool makes only the bytes asked for accessible, not all usable ones.
#if defined(HAK_ASAN) || defined(HAK_VALGRIND)
#define TARGET_EXACT_BOUNDS 1
#else
#define TARGET_EXACT_BOUNDS 0
#endif

// Runs one input; 0, or -1 if the input is none of this target's (no need to keep it).
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Targets of the operation language: prints what the input is, as it will run. False if it is none.
// Other targets do not define it.
bool target_print(const uint8_t *data, size_t size, FILE *out) __attribute__((weak));

// "TARGET: found: operation 12: t0 free s3: reason" on standard error, then abort.
_Noreturn void target_found(const struct ops *program, const struct op *op, const char *reason);

// For targets whose input is no program: the model and the code agree, or target_found says what.
void target_must(bool condition, const char *what);

// Targets that know what led to a death by a signal or a sanitizer: says so on standard error. May
// be called on a signal stack, and after target_found. Other targets do not define it.
void target_died(void) __attribute__((weak));

// Name of the target, as in the registry; each defines it.
extern const char target_name[];

#endif

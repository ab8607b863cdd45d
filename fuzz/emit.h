// emit.h: a failing input as a C program that stands alone.
#ifndef FUZZ_EMIT_H
#define FUZZ_EMIT_H

#include "ops.h"

// As calls of the public functions, with contents, zeroes and alignment checked. False, and nothing
// written, if the program does what they cannot say: several threads, failures of the system, its
// clock, forks, mistakes, decisions.
bool emit_calls(const struct ops *program, const char *why, FILE *out);

// As bytes that are replayed through the harness of this target (target.h): to be linked with its
// objects.
void emit_embedded(const uint8_t *data, size_t size, const char *why, FILE *out);

#endif

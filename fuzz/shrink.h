// shrink.h: makes a failing program smaller while it keeps failing.
//
// Operations, threads, preemptions, stale reads and other decisions are shrunk separately, each by
// delta debugging (Zeller, Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002).
// At the end no single one of them can be left out. What "failing" means is the caller's.
#ifndef FUZZ_SHRINK_H
#define FUZZ_SHRINK_H

#include "ops.h"

struct shrink {
    // Whether the candidate still fails, in the way that is looked for.
    bool (*fails)(void *arg, const struct ops *candidate);
    // Looks for other decisions, fewer than `below`, under which the candidate fails, and puts them
    // into it. For one that lost operations and no longer fails, as the steps that its decisions
    // name have moved; and for one whose decisions hold each other in place. May be NULL.
    bool (*search)(void *arg, struct ops *candidate, size_t below);
    void *arg;
    unsigned long tried; // calls of `fails`
    bool out_of_memory;  // then the program is what it was so far
};

struct shrink_size {
    size_t ops, threads, preemptions, stale_reads, others;
};
struct shrink_size shrink_measure(const struct ops *program);

// `program` fails. Decisions are shrunk only if it follows them (strategy OPS_DECIDED).
void shrink_program(struct shrink *s, struct ops *program);

// The same for bytes that are no program; returns how many are left.
size_t shrink_bytes(bool (*fails)(void *arg, const uint8_t *data, size_t size), void *arg,
                    uint8_t *data, size_t size);

// A deep copy, into a zeroed or used `to`.
bool shrink_copy(struct ops *to, const struct ops *from);

#endif

// verdict.h: what became of an execution whose structures were corrupted.
#ifndef FUZZ_VERDICT_H
#define FUZZ_VERDICT_H

#include "exec.h"
#include "trial.h"

enum verdict {
    VERDICT_HARMLESS, // all later operations, contents and audits agree with the shadow map
    VERDICT_FAULT,    // the allocator stopped the program: a line "hakmem: ...", SIGABRT
    VERDICT_AUDIT,    // nothing but the audit saw it, and no content was harmed so far
    VERDICT_SILENT,   // overlap, lost contents, lost blocks, refusal without need: and no word
    VERDICT_CRASHED,  // another signal, or a sanitizer's report
    VERDICT_HUNG,     // no end
    VERDICT_COUNT
};
extern const char *const verdict_names[VERDICT_COUNT];

struct judgement {
    enum verdict verdict;
    char text[160]; // what was said, numbers as '#', and the bytes of a block
};

// ---- in the child, which ends in all of them ----

// For exec->fail.
_Noreturn void verdict_fail(struct exec *exec, const struct op *op, const char *reason);
// After the last operation: audits (in a child, as it may not survive it), checks all contents,
// frees everything, audits again.
_Noreturn void verdict_end(struct exec *exec);
// Audits at once and ends.
_Noreturn void verdict_audit(struct exec *exec);

// ---- in the parent ----

struct judgement verdict_judge(const struct trial *trial);

#endif

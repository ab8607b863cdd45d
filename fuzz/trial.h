// trial.h: runs a target on an input in a child process and says in which way it failed.
#ifndef FUZZ_TRIAL_H
#define FUZZ_TRIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The class of a failure: what was said, without its numbers ("overlaps live block # of # bytes"),
// so that two inputs that fail alike have equal ones.
struct trial_class {
    char text[400]; // "" if nothing failed
};

struct trial {
    struct trial_class class;
    bool refused; // the target says that the input is none of its own
    bool hung;    // it did not end in time
    int status;   // as waitpid gives it
    char *said;   // its standard error, ends with 0; the caller frees it. May be cut at 4 MiB
};

// Runs in the child before the target, and may run it itself (then it returns false).
typedef bool (*trial_before)(void *arg, const uint8_t *data, size_t size);

// The target has not run in this process, so each trial begins with a new allocator. A child that
// does not end within `seconds` has the class "hangs". False: no process, no pipe or no memory.
bool trial_run(struct trial *trial, const uint8_t *data, size_t size, unsigned seconds,
               trial_before before, void *arg);
void trial_free(struct trial *trial);

// Reads the class out of what a process said and its wait status; for trial_run.
struct trial_class trial_classify(const char *said, int status);

#endif

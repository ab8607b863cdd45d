// target.c: how a target ends when it found something.
#include "target.h"

#include <stdlib.h>

_Noreturn void target_found(const struct ops *program, const struct op *op, const char *reason)
{
    fflush(stdout);
    if (op) {
        char line[200];
        ops_format(op, line, sizeof line);
        // An operation of the harness's own is none of the list.
        if (program->count != 0 && op >= program->list && op < program->list + program->count)
            fprintf(stderr, "%s: found: operation %zu: %s: %s\n", target_name,
                    (size_t)(op - program->list), line, reason);
        else
            fprintf(stderr, "%s: found: %s: %s\n", target_name, line, reason);
    } else
        fprintf(stderr, "%s: found: at the end: %s\n", target_name, reason);
    abort();
}

void target_must(bool condition, const char *what)
{
    static const struct ops none;
    if (!condition)
        target_found(&none, NULL, what);
}

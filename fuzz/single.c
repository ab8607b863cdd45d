#include "single.h"

#include "target.h"
#include "world.h"

#include <stdlib.h>

#define DECISIONS_MAX 1024u // an input has no more: it is short

static struct exec exec;
static struct ops program;

static void found(struct exec *e, const struct op *op, const char *reason)
{
    (void)e;
    target_found(&program, op, reason);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const struct single_target *t = &single_target;
    (void)argc, (void)argv;
    world_reset();
    if (!ops_reserve(&program, t->limits.ops_max, DECISIONS_MAX) ||
        !exec_init(&exec, t->allocator, t->limits.slots)) {
        fprintf(stderr, "%s: out of memory\n", target_name);
        exit(2);
    }
    exec.fail = found;
    exec.alone = true;
    exec.live_bytes_max = t->live_bytes_max;
    exec.shadow.use_all = !TARGET_EXACT_BOUNDS;
    return 0;
}

bool target_print(const uint8_t *data, size_t size, FILE *out)
{
    if (!ops_decode_lenient(&program, data, size, &single_target.limits))
        return false;
    ops_print(&program, out);
    return true;
}

void single_reset(struct exec *e, const struct ops *p)
{
    world_reset();
    exec_reset(e, p->header.seed);
    e->children = single_target.children;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!ops_decode_lenient(&program, data, size, &single_target.limits))
        return -1;
    single_reset(&exec, &program);
    if (single_target.run) {
        single_target.run(&exec, &program);
        return 0;
    }
    for (size_t i = 0; i < program.count; i++)
        exec_op(&exec, &program.list[i]);
    exec_finish(&exec);
    return 0;
}

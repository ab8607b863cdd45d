// fuzz_api.c: the whole public surface in one thread, every result held against the shadow map.
//
// Threads of the input are one here. Each input begins with an allocator that was never called
// (world.h); at its end everything is freed and given back, and the audit must find nothing live.
// Bounds keep an input short: so many operations, bytes per block and bytes in all; the small
// geometry's arena makes exhaustion real.
#include "exec.h"
#include "target.h"
#include "world.h"

#include <stdlib.h>

const char target_name[] = "fuzz_api";

#define DECISIONS_MAX 1024u // an input has no more: it is short
#define SLOTS 256u

static const struct ops_limits limits = { .ops_max = 1024,
                                          .slots = SLOTS,
                                          .threads = 1,
                                          .size_max = GEOMETRY_SMALL ? 1u << 20 : 8u << 20,
                                          .fail_min = (uint64_t)1 << 47 };
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
    (void)argc, (void)argv;
    world_reset();
    if (!ops_reserve(&program, limits.ops_max, DECISIONS_MAX) ||
        !exec_init(&exec, &allocator_hakmem, SLOTS)) {
        fprintf(stderr, "%s: out of memory\n", target_name);
        exit(2);
    }
    exec.fail = found;
    exec.alone = true;
    exec.live_bytes_max = GEOMETRY_SMALL ? 8u << 20 : 32u << 20;
    exec.shadow.use_all = !TARGET_EXACT_BOUNDS;
    return 0;
}

bool target_print(const uint8_t *data, size_t size, FILE *out)
{
    if (!ops_decode_lenient(&program, data, size, &limits))
        return false;
    ops_print(&program, out);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!ops_decode_lenient(&program, data, size, &limits))
        return -1;
    world_reset();
    exec_reset(&exec, program.header.seed);
    exec.children = 2;
    for (size_t i = 0; i < program.count; i++)
        exec_op(&exec, &program.list[i]);
    exec_finish(&exec);
    return 0;
}
